package safestore

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"testing"

	"github.com/caddyserver/certmagic"
)

// lister answers lists as a storage plugin does.
type lister struct {
	certmagic.Storage
	flat, deep []string
	flatErr    error
	asked      int
}

func (l *lister) List(_ context.Context, _ string, recursive bool) ([]string, error) {
	l.asked++
	if recursive {
		return l.deep, nil
	}
	return l.flat, l.flatErr
}

func (l *lister) Exists(context.Context, string) bool { return l.asked < 3 }

// Storages differ in what List returns.
func TestList(t *testing.T) {
	unreachable := errors.New("unreachable")
	for name, test := range map[string]struct {
		storage *lister
		want    []string
		err     error
	}{
		"whole keys":          {&lister{flat: []string{"f/g/a", "f/g/b"}}, []string{"a", "b"}, nil},
		"keys with a slash":   {&lister{flat: []string{"/f/g/a"}}, []string{"a"}, nil},
		"the folder itself":   {&lister{flat: []string{"", "/f/g/"}, deep: []string{"f/g/a", "f/g/b"}}, []string{"a", "b"}, nil},
		"nothing":             {&lister{deep: []string{"f/g/a"}}, nil, nil},
		"no folder":           {&lister{flatErr: fs.ErrNotExist, asked: 3}, nil, nil},
		"a file disappears":   {&lister{flatErr: fs.ErrNotExist}, nil, nil},
		"storage unreachable": {&lister{flatErr: unreachable}, nil, unreachable},
	} {
		got, err := List(t.Context(), test.storage, "f/g")
		if !slices.Equal(got, test.want) || !errors.Is(err, test.err) {
			t.Errorf("%s: got %v, %v, want %v, %v", name, got, err, test.want, test.err)
		}
	}
}
