package freetiercmd

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/spf13/cobra"

	"github.com/caddy-freetier/caddy-freetier/internal/migrate"
)

// newImport has --provider, --url and --models for what files do not say, and --site,
// --keys and --output for where things go. The defaults make something that can be
// tried at once on one's own machine: it serves the name localhost only, and keeps the
// keys in a folder of the working directory.
func newImport() *cobra.Command {
	cmd := command("import <file>... [--provider <name>] [--url <url>] [--models <names>] [--site <address>] [--keys <folder>] [--output <path>]",
		"Makes a Caddyfile of what other programs have",
		`Reads lists of keys, .env files, CSV, exports of the channels of one-api and
new-api (JSON, or CSV of the table), and tables of workers (path or host to URL,
model to model), and prints a Caddyfile. - is stdin. What a file is, its content
tells.

The keys go into one file for each channel, with mode 0600, in a folder that it
makes with mode 0700; nothing that is printed has a key in it. What was left
out, and why, stands on stderr. Files that are there already are not touched.`, runImport)
	cmd.Args = cobra.MinimumNArgs(1)
	cmd.Flags().StringP("provider", "p", "", "Whose keys they are, where they do not tell: a name of docs/providers.md, and a region")
	cmd.Flags().String("url", "", "The base URL of a provider that is not among those")
	cmd.Flags().StringSliceP("models", "m", nil, "Models of channels that name none; default: all")
	cmd.Flags().String("site", "http://localhost:8080", "The address of the site")
	cmd.Flags().StringP("keys", "k", "keys", "The folder for the files with keys")
	cmd.Flags().StringP("output", "o", "", "The file for the Caddyfile; default: stdout")
	return cmd
}

// runImport reads all files before it writes any, so that a mistake in the last one
// leaves nothing behind. Notes come even if Write fails: they mostly say why. The
// Caddyfile is adapted once before it is printed, which finds every mistake in its
// syntax but loads no module and opens no file.
func runImport(cmd *cobra.Command, files []string) (int, error) {
	flags := cmd.Flags()
	var options migrate.Options
	options.Provider, _ = flags.GetString("provider")
	options.URL, _ = flags.GetString("url")
	options.Models, _ = flags.GetStringSlice("models")
	var place migrate.Place
	place.Site, _ = flags.GetString("site")
	place.Keys, _ = flags.GetString("keys")
	output, _ := flags.GetString("output")

	pool := new(migrate.Pool)
	for _, name := range files {
		content, err := readInput(cmd.InOrStdin(), name)
		if err != nil {
			return caddy.ExitCodeFailedStartup, err
		}
		read, err := migrate.Read(filepath.Base(name), content, options)
		if err != nil {
			return caddy.ExitCodeFailedStartup, err
		}
		pool.Add(read)
	}
	out, err := pool.Write(place)
	for _, note := range pool.Notes {
		fmt.Fprintln(cmd.ErrOrStderr(), "Note: "+printable(note)+".")
	}
	if err != nil {
		return caddy.ExitCodeFailedStartup, err
	}
	// What does not adapt would be a mistake of this command's.
	if _, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(out.Caddyfile), nil); err != nil {
		return caddy.ExitCodeFailedStartup, fmt.Errorf("the Caddyfile that came of it does not load; please report this: %w", err)
	}
	if err := writeImport(cmd, out, place.Keys, output); err != nil {
		return caddy.ExitCodeFailedStartup, err
	}
	if len(pool.Channels) > 0 {
		fmt.Fprintf(cmd.ErrOrStderr(), "%d channels, with their keys in %s. Next: caddy freetier client add me --file %s\n",
			len(pool.Channels), place.Keys, filepath.Join(place.Keys, "clients.json"))
	}
	return caddy.ExitCodeSuccess, nil
}

// readInput reads a file, or stdin. It stops a megabyte beyond what migrate.Read takes,
// which then refuses it, so that a device or an endless pipe cannot fill the memory.
func readInput(stdin io.Reader, name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(io.LimitReader(stdin, 65<<20))
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, 65<<20)) // Read refuses so much
}

// writeImport writes the files with keys, and then the Caddyfile. If one of them is
// there already it writes none.
//
// The check before is a courtesy, and O_EXCL in writeNew the guarantee. If a later file
// fails, those written before are removed, but the folder stays. The Caddyfile comes
// last, since it names the others.
func writeImport(cmd *cobra.Command, out *migrate.Output, folder, output string) (err error) {
	names := slices.Sorted(maps.Keys(out.Keys))
	for _, path := range append(joined(folder, names), output) {
		if _, err := os.Lstat(path); path != "" && err == nil {
			return fmt.Errorf("there is a file %s already; move it away, or choose another place with --keys or --output", path)
		}
	}
	if len(names) > 0 {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return err
		}
	}
	var written []string
	defer func() {
		if err != nil {
			for _, path := range written {
				_ = os.Remove(path)
			}
		}
	}()
	for _, name := range names {
		path := filepath.Join(folder, name)
		if err := writeNew(path, out.Keys[name], 0o600); err != nil {
			return err
		}
		written = append(written, path)
	}
	if output != "" {
		return writeNew(output, out.Caddyfile, 0o644)
	}
	_, err = io.Copy(cmd.OutOrStdout(), strings.NewReader(out.Caddyfile))
	return err
}

func joined(folder string, names []string) []string {
	paths := make([]string, len(names))
	for i, name := range names {
		paths[i] = filepath.Join(folder, name)
	}
	return paths
}

// writeNew writes a file that was not there. If it cannot be written whole, it is
// removed.
//
// O_EXCL follows no symbolic link at the path, so that no file elsewhere can be
// overwritten.
func writeNew(path, text string, mode os.FileMode) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = file.WriteString(text)
	if err = errors.Join(err, file.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}
