package freetier_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"
)

var (
	code   = regexp.MustCompile("`[^`\n]+`")
	fence  = regexp.MustCompile("(?ms)^```.*?^```")
	link   = regexp.MustCompile(`\]\(([^()\s]+)\)`)
	anchor = regexp.MustCompile(`<a id="([^"]*)">`)
	head   = regexp.MustCompile(`(?m)^#+ (.*)$`)
)

// pages returns the Markdown files of the repository with their content.
func pages(t *testing.T) map[string]string {
	t.Helper()
	all := make(map[string]string)
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == ".git" || entry.Name() == "node_modules" || entry.Name() == "dist"):
			return fs.SkipDir
		case filepath.Ext(path) == ".md":
			content, err := os.ReadFile(path)
			all[path] = string(content)
			return err
		}
		return nil
	})
	if err != nil || len(all) < 10 {
		t.Fatalf("found %d pages (%v)", len(all), err)
	}
	return all
}

// places returns what a link can lead to in a page: its headings, named as
// GitHub names them, and its anchors.
func places(page string) map[string]bool {
	names := make(map[string]bool)
	for _, match := range anchor.FindAllStringSubmatch(page, -1) {
		names[match[1]] = true
	}
	for _, match := range head.FindAllStringSubmatch(fence.ReplaceAllString(page, ""), -1) {
		names[strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case unicode.IsLetter(r) || unicode.IsDigit(r) || r == '-' || r == '_':
				return unicode.ToLower(r)
			}
			return -1
		}, match[1])] = true
	}
	return names
}

// Links within the repository lead to files, and to places in pages, that are
// there.
func TestLinks(t *testing.T) {
	all := pages(t)
	links := 0
	for path, page := range all {
		text := code.ReplaceAllString(fence.ReplaceAllString(page, ""), "")
		for _, match := range link.FindAllStringSubmatch(text, -1) {
			if strings.Contains(match[1], "://") {
				continue
			}
			links++
			file, place, _ := strings.Cut(match[1], "#")
			target := path
			if file != "" {
				target = filepath.Join(filepath.Dir(path), file)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s links to %s: %v", path, match[1], err)
			} else if place != "" && !places(all[target])[place] {
				t.Errorf("%s links to %s, but there is no %s", path, match[1], place)
			}
		}
	}
	if links < 100 {
		t.Errorf("found %d links, want all of them", links)
	}
}

// blocks returns the code blocks of a language in a page.
func blocks(page, language string) (all []string) {
	for _, match := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllStringSubmatch(page, -1) {
		all = append(all, match[1])
	}
	return all
}

// The commands of the Chinese pages are those of the README, which CI follows,
// with the addresses that can be reached in mainland China.
func TestChineseCommands(t *testing.T) {
	all := pages(t)
	known := make(map[string]bool)
	for _, language := range []string{"sh", "console"} {
		for _, block := range blocks(all["README.md"], language) {
			known[block] = true
			for _, command := range regexp.MustCompile(`(?m)^\$ .*\n(?:[^$].*\n)*`).FindAllString(block, -1) {
				known[command] = true
			}
		}
	}
	goproxy := regexp.MustCompile("`(export GOPROXY=[^`]*)`").FindStringSubmatch(all["README.md"])
	if goproxy == nil {
		t.Fatal("README.md has no GOPROXY")
	}
	known[goproxy[1]+"\n"] = true
	for path, atLeast := range map[string]int{"docs/README.zh-CN.md": 6, "docs/zh/first-steps.md": 7} {
		commands := blocks(all[path], "sh")
		for _, block := range blocks(all[path], "console") {
			commands = append(commands, regexp.MustCompile(`(?m)^\$ .*\n(?:[^$].*\n)*`).FindAllString(block, -1)...)
		}
		if len(commands) < atLeast {
			t.Errorf("%s has %d commands, want %d or more", path, len(commands), atLeast)
		}
		for _, command := range commands {
			if !known[strings.ReplaceAll(command, "https://golang.google.cn/dl/", "https://go.dev/dl/")] {
				t.Errorf("%s has commands that README.md does not have:\n%s", path, command)
			}
		}
	}
}
