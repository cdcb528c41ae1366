package bundle

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// createTemp opens a file that the system removes when its last handle is
// closed, also by a crash.
func createTemp(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, "juliahub-bundle-*.tar")
	if err != nil {
		return nil, err
	}
	name := f.Name()
	if err := f.Close(); err != nil {
		return nil, err
	}
	path, err := windows.UTF16PtrFromString(name)
	if err != nil {
		return nil, err
	}
	handle, err := windows.CreateFile(path, windows.GENERIC_READ|windows.GENERIC_WRITE, windows.FILE_SHARE_DELETE, nil,
		windows.OPEN_EXISTING, windows.FILE_ATTRIBUTE_TEMPORARY|windows.FILE_FLAG_DELETE_ON_CLOSE, 0)
	if err != nil {
		return nil, errors.Join(&os.PathError{Op: "open", Path: name, Err: err}, os.Remove(name))
	}
	return os.NewFile(uintptr(handle), name), nil
}

func closeTemp(f *os.File) error { return f.Close() }

// freeSpace returns the bytes that the user may still write in dir.
func freeSpace(dir string) (int64, bool) {
	path, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return 0, false
	}
	var free uint64
	if err := windows.GetDiskFreeSpaceEx(path, &free, nil, nil); err != nil {
		return 0, false
	}
	return int64(free), true
}
