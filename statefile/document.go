package statefile

// A document holds what was found in a JSON file before its format is known: "version"
// may come last, and more than once.
type document struct {
	*scanner
	visitor *Visitor

	object bool // the file is a JSON object

	hasVersion   bool
	version      uint64
	versionError *Error

	serial           serial
	lineage          string
	terraformVersion string

	// Other top-level keys, which tell what the file is if it is not a state.
	formatVersion, encryptionVersion, encryptedData, sops, backend bool
	lockFields                                                     int

	// typeErrors holds, for each format, the first value that Terraform would reject.
	typeErrors [5]*Error

	current tally // what format 4's keys hold
	legacy  tally // what the keys of formats 1 to 3 hold

	resource    resource // the one being read
	lastVisited Resource // the last one passed to the visitor
	instance    instance // the one being read
	output      output   // the one being read

	checkResult checkResult // the one being read

	versionRefusal *Error // set if terraform_version is not a version
	scratch        []byte

	legacyKeys, legacyDropped hashSet // for formats 1 to 3: keys of entries, and dropped resources
}

// formats is a set of state file formats.
type formats uint8

const (
	format1 formats = 1 << (iota + 1)
	format2
	format3
	format4

	formats23  = format2 | format3
	formats123 = format1 | formats23
	formats234 = formats23 | format4
	formatsAll = formats123 | format4
)

// A lock file has ID, Operation, Info, Who, Version, Created and Path. Other files may
// have some of these keys, but fewer than this.
const lockFieldsNeeded = 3

// topLevel reads one top-level value. It reads the keys of all formats, whatever the
// version is.
func (d *document) topLevel(key []byte) error {
	switch string(fold(key)) {
	case "version":
		return d.readVersion()
	case "serial":
		return d.readSerial()
	case "lineage":
		return d.text(formats234, "lineage", &d.lineage)
	case "terraform_version":
		return d.readTerraformVersion()

	case "outputs":
		if d.peek() == 'n' {
			d.current.Outputs, d.current.SensitiveOutputs, d.current.outputRefusal = 0, 0, nil
		}
		return d.objectOf(format4, "outputs", d.readOutput)
	case "resources":
		d.current.forgetResources()
		return d.arrayOf(format4, "resources", d.readResource)
	case "check_results":
		d.current.Checks, d.current.FailedChecks, d.current.checkRefusal = 0, 0, nil
		return d.arrayOf(format4, "check_results", d.readCheck)

	case "modules":
		d.legacy.forgetResources()
		d.legacy.Outputs, d.legacy.SensitiveOutputs = 0, 0
		return d.arrayOf(formats123, "modules", d.readModule)
	case "remote":
		return d.readBackend(formats123, "remote")
	case "backend":
		return d.readBackend(formats23, "backend")
	case "state_store":
		// Terraform 1.15 records a pluggable state store the way it records a backend.
		d.backend = d.backend || d.peek() == '{'

	case "format_version":
		d.formatVersion = true
	case "encryption_version":
		d.encryptionVersion = d.peek() == '"'
	case "encrypted_data":
		d.encryptedData = true
	case "sops":
		d.sops = d.peek() == '{'
	case "id", "operation", "who", "created":
		d.lockFields++
	}
	return d.skip()
}

func (d *document) readVersion() error {
	switch d.peek() {
	case 'n':
		// Terraform reads it into a pointer, which null resets.
		d.hasVersion = false
	case '0':
		at := d.offset()
		literal, err := d.readNumber()
		if err != nil {
			return err
		}
		n, whole := parseUint(literal)
		if whole {
			d.version, d.hasVersion = n, true
		} else if d.versionError == nil {
			d.versionError = d.refuse(KindWrongType, `"version" is not a whole number`, at)
		}
		return nil
	default:
		if d.versionError == nil {
			d.versionError = d.refuse(KindWrongType, `"version" is not a number`, d.offset())
		}
	}
	return d.skip()
}

// readBackend reads the configuration of the backend or, before Terraform 0.9, of the
// remote.
func (d *document) readBackend(f formats, name string) error {
	if d.expect('{', f, name) {
		d.backend = true
	}
	return d.skip()
}

func (d *document) readTerraformVersion() error {
	d.peek()
	at := d.offset()
	err := d.text(formats234, "terraform_version", &d.terraformVersion)
	d.versionRefusal = nil
	if err == nil && !d.parsed.versions.of([]byte(d.terraformVersion), isVersion) {
		d.versionRefusal = d.refuse(KindRefusedContent, `"terraform_version" is not a version`, at)
	}
	return err
}
