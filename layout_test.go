package freetier_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// goFiles calls f with each Go file of the repository.
func goFiles(t *testing.T, f func(path string, set *token.FileSet, file *ast.File)) {
	t.Helper()
	set := token.NewFileSet()
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == "node_modules" || entry.Name() == "testdata" || len(path) > 1 && path[0] == '.'):
			return filepath.SkipDir
		case entry.IsDir() || filepath.Ext(path) != ".go":
			return nil
		}
		file, err := parser.ParseFile(set, path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		f(path, set, file)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Each file, folder, type and function that docs/architecture.md names exists.
func TestArchitectureNames(t *testing.T) {
	page, err := os.ReadFile("docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	files, names := make(map[string]bool), make(map[string]bool)
	goFiles(t, func(path string, _ *token.FileSet, file *ast.File) {
		files[filepath.Base(path)] = true
		for _, decl := range file.Decls {
			switch decl := decl.(type) {
			case *ast.FuncDecl:
				names[decl.Name.Name] = true
			case *ast.GenDecl:
				for _, spec := range decl.Specs {
					if spec, ok := spec.(*ast.TypeSpec); ok {
						names[spec.Name.Name] = true
					}
				}
			}
		}
	})
	// Words of Caddy, of the Caddyfile and of the outside world.
	known := []string{"POST"}
	for _, quoted := range regexp.MustCompile("`([^`\n]+)`").FindAllStringSubmatch(string(page), -1) {
		for word := range strings.FieldsSeq(strings.ReplaceAll(quoted[1], ",", " ")) {
			switch {
			case strings.HasSuffix(word, ".go") && !strings.Contains(word, "/"):
				if !files[word] {
					t.Errorf("there is no file %s", word)
				}
			case strings.Contains(word, "/") && !strings.HasPrefix(word, "/"):
				if _, err := os.Stat(word); err != nil {
					t.Errorf("there is no %s", word)
				}
			case regexp.MustCompile(`^[A-Z]\w*$|^[a-z]+[A-Z]\w*$`).MatchString(word):
				if !names[word] && !slices.Contains(known, word) {
					t.Errorf("there is no type or function %s", word)
				}
			}
		}
	}
}

// The bounds of what a reader takes in at once: lines of a file and of a function, and
// the files over which the methods of a type are spread.
const (
	maxFileLines   = 500
	maxFuncLines   = 80
	maxMethodFiles = 5
)

// Files, functions and types, those of tests too, are small enough to be read.
func TestSizes(t *testing.T) {
	methods := make(map[string]map[string]bool) // files, by the type with its folder
	goFiles(t, func(path string, set *token.FileSet, file *ast.File) {
		if lines := set.File(file.Pos()).LineCount(); lines > maxFileLines {
			t.Errorf("%s has %d lines, of %d at most", path, lines, maxFileLines)
		}
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if lines := set.Position(f.End()).Line - set.Position(f.Pos()).Line + 1; lines > maxFuncLines {
				t.Errorf("%s: %s has %d lines, of %d at most", path, f.Name.Name, lines, maxFuncLines)
			}
			if f.Recv != nil {
				name := filepath.Dir(path) + " " + receiver(f.Recv.List[0].Type)
				if methods[name] == nil {
					methods[name] = make(map[string]bool)
				}
				methods[name][filepath.Base(path)] = true
			}
		}
	})
	for name, files := range methods {
		if len(files) > maxMethodFiles {
			t.Errorf("%s has methods in %d files, of %d at most: %q", name, len(files), maxMethodFiles, slices.Sorted(maps.Keys(files)))
		}
	}
}

// receiver returns the name of a method's type.
func receiver(expr ast.Expr) string {
	switch expr := expr.(type) {
	case *ast.StarExpr:
		return receiver(expr.X)
	case *ast.IndexExpr:
		return receiver(expr.X)
	case *ast.IndexListExpr:
		return receiver(expr.X)
	case *ast.Ident:
		return expr.Name
	}
	return ""
}
