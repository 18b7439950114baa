package statefile

// A Visitor is told of a snapshot's content while it is read, in the order of
// the file. Each function may be nil. What a visitor was told of a file that
// turns out not to be a state is of no worth. Of formats 1 to 3 one module at a
// time is kept in memory.
//
// The instances' IDs and the names come from the file as they are: they may
// hold anything, control characters included.
type Visitor struct {
	Resource func(Resource)
	Output   func(Output)

	// NameOfSecret judges the name of an output, or of a member of its value. The name is only
	// valid during the call.
	NameOfSecret func(name []byte) NameKind
}

// A Resource is a resource of a snapshot with its instances, those of older
// formats too. (There each instance comes as a resource of its own.)
type Resource struct {
	Module   string // address of the module instance, "" for the root
	Mode     string // "managed" or "data"
	Type     string
	Name     string
	Provider string // address, see [Provider]

	// Instances is only valid during the call.
	Instances []Instance
}

// An Instance is an object of a resource.
type Instance struct {
	// ID is the attribute "id", which identifies the real object for the
	// provider. It is empty if it is no string, or is longer than 16 KiB.
	ID      string
	Deposed bool
	Tainted bool
}

// An Output is an output of the root module. Its value is not told.
type Output struct {
	Name      string
	Sensitive bool

	// Type is the outermost type: "string", "number", "bool", "list", "map",
	// "set", "object", "tuple" or "dynamic".
	Type string

	// Empty says that the value is null, or a text, a list or a map of nothing.
	Empty bool

	// SecretShape names the credential that the value, or a text within it, has
	// the shape of, such as "private key" or "password in a URL". It is empty if none was
	// recognised. Of texts longer than 16 KiB at least the first 16 KiB are looked at.
	SecretShape string

	// NamedSecret reports whether the value holds a text that, by its name, is likely a secret: it stands
	// under a name that the visitor's NameOfSecret takes for one, and does not merely refer to a
	// secret, as a path or an ARN does. NamedWithin reports whether that is the name of a
	// member of the value, not the output's own.
	NamedSecret, NamedWithin bool
}
