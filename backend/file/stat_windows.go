package file

import (
	"os"
	"unsafe"

	"golang.org/x/sys/windows"
)

// identify returns what tells an open file from another of the same size and modification time. File
// systems that lack a part of it, as some network drives do, are compared by the rest.
func identify(in *os.File, _ os.FileInfo) (file uint64, changed int64) {
	handle := windows.Handle(in.Fd())
	var info windows.ByHandleFileInformation
	if err := windows.GetFileInformationByHandle(handle, &info); err == nil {
		file = fileOf(uint64(info.VolumeSerialNumber), uint64(info.FileIndexHigh)<<32|uint64(info.FileIndexLow))
	}
	var basic struct {
		CreationTime, LastAccessTime, LastWriteTime, ChangeTime windows.Filetime
		FileAttributes                                          uint32
		_                                                       uint32 // the size is a multiple of eight
	}
	err := windows.GetFileInformationByHandleEx(handle, windows.FileBasicInfo, (*byte)(unsafe.Pointer(&basic)), uint32(unsafe.Sizeof(basic)))
	if err == nil && (basic.ChangeTime != windows.Filetime{}) {
		changed = basic.ChangeTime.Nanoseconds()
	}
	return file, changed
}
