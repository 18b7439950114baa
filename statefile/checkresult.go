package statefile

import "bytes"

// A checkResult is the element of "check_results" being read.
type checkResult struct {
	kind, address, object textBuffer // long ones are not parsed
}

// readCheck reads one element of check_results.
func (d *document) readCheck() error {
	status := ""
	d.current.Checks++
	d.peek()
	at := d.offset()
	c := &d.checkResult
	*c = checkResult{kind: c.kind.emptied(), address: c.address.emptied(), object: c.object.emptied()}
	var objects [][]byte
	err := d.objectOf(format4, "check_results", func(key []byte) error {
		switch string(fold(key)) {
		case "status":
			return d.text(format4, "status", &status)
		case "object_kind":
			return d.buffer(format4, "object_kind", &c.kind)
		case "config_addr":
			return d.buffer(format4, "config_addr", &c.address)
		case "objects":
			objects = objects[:0]
			return d.arrayOf(format4, "objects", func() error {
				err := d.checkObject()
				// Valid addresses of a known kind need not be kept. Terraform writes the
				// kind before the objects.
				if !c.object.long && (len(c.kind.bytes) == 0 || !isCheckable(c.kind.bytes, c.object.bytes, true)) {
					if len(objects) < maxCheckObjects {
						objects = append(objects, bytes.Clone(c.object.bytes))
					}
				}
				return err
			})
		}
		return d.skip()
	})
	if status == "fail" || status == "error" {
		d.current.FailedChecks++
	}
	good := c.address.long || isCheckable(c.kind.bytes, c.address.bytes, false)
	for _, object := range objects {
		good = good && isCheckable(c.kind.bytes, object, true)
	}
	if !good && d.current.checkRefusal == nil {
		d.current.checkRefusal = d.refuse(KindRefusedContent, `"check_results" contains an invalid address`, at)
	}
	return err
}

// maxCheckObjects limits the objects of a check that are kept until its kind is known.
const maxCheckObjects = 1024

// checkObject reads one element of a check's "objects".
func (d *document) checkObject() error {
	c := &d.checkResult
	c.object = c.object.emptied()
	return d.objectOf(format4, "objects", func(key []byte) error {
		switch string(fold(key)) {
		case "object_addr":
			return d.buffer(format4, "object_addr", &c.object)
		case "status":
			return d.check('"', format4, "status")
		case "failure_messages":
			return d.arrayOf(format4, "failure_messages", func() error { return d.check('"', format4, "failure_messages") })
		}
		return d.skip()
	})
}
