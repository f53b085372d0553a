// Package regularfile opens files that are read again whenever they change. A pipe
// in their place would block whoever opens it until somebody writes to it.
package regularfile

import (
	"fmt"
	"os"
	"syscall"
)

// Open opens a file for reading, and returns what is known of it. What is no regular
// file, such as a pipe, a device or a folder, is an error.
func Open(path string) (*os.File, os.FileInfo, error) {
	// Only what was opened counts: another can take its place at any time.
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a file", path)
	}
	if err != nil {
		_ = file.Close()
		return nil, nil, err
	}
	return file, info, nil
}
