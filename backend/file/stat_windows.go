package file

import (
	"os"
	"unsafe"

	"golang.org/x/sys/windows"
)

// identify returns what distinguishes an open file from others of the same size and
// modification time. Values that the file system lacks, as on some network drives, are zero
// and not compared.
func identify(in *os.File, _ os.FileInfo) (file uint64, changed int64) {
	handle := windows.Handle(in.Fd())
	var info windows.ByHandleFileInformation
	if err := windows.GetFileInformationByHandle(handle, &info); err == nil {
		file = fileOf(uint64(info.VolumeSerialNumber), uint64(info.FileIndexHigh)<<32|uint64(info.FileIndexLow))
	}
	var basic struct {
		CreationTime, LastAccessTime, LastWriteTime, ChangeTime windows.Filetime
		FileAttributes                                          uint32
		_                                                       uint32 // padding to a multiple of eight bytes
	}
	err := windows.GetFileInformationByHandleEx(handle, windows.FileBasicInfo, (*byte)(unsafe.Pointer(&basic)), uint32(unsafe.Sizeof(basic)))
	if err == nil && (basic.ChangeTime != windows.Filetime{}) {
		changed = basic.ChangeTime.Nanoseconds()
	}
	return file, changed
}
