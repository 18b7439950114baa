package statefile

// A Visitor is called with a state's content while it is read, in the file's order. Each
// function may be nil. If the file turns out not to be a state, ignore what the visitor
// got. For formats 1 to 3 one module at a time is kept in memory.
//
// IDs and names are passed unchanged from the file: they may contain anything, including
// control characters.
type Visitor struct {
	Resource func(Resource)
	Output   func(Output)

	// NameOfSecret judges the name of an output, or of a member of its value. The name is
	// valid only during the call.
	NameOfSecret func(name []byte) NameKind
}

// A Resource is a resource with its instances. In formats 1 to 3 each instance is a
// resource of its own.
type Resource struct {
	Module   string // address of the module instance, "" for the root
	Mode     string // "managed" or "data"
	Type     string
	Name     string
	Provider string // address, see [Provider]

	// Instances is valid only during the call.
	Instances []Instance
}

// An Instance is an object of a resource.
type Instance struct {
	// ID is the attribute "id", which identifies the real object to the provider. It is
	// empty if it is not a string, or is longer than 16 KiB.
	ID      string
	Deposed bool
	Tainted bool
}

// An Output is an output of the root module, without its value.
type Output struct {
	Name      string
	Sensitive bool

	// Type is the outermost type: "string", "number", "bool", "list", "map",
	// "set", "object", "tuple" or "dynamic".
	Type string

	// Empty reports whether the value is null or an empty string, list or map.
	Empty bool

	// SecretShape is the kind of credential that the value, or a text within it, looks
	// like, such as "private key" or "password in a URL". It is empty if none was
	// recognized. Of longer texts, at least the first 16 KiB are checked.
	SecretShape string

	// NamedSecret reports whether the value contains a text that is probably a secret
	// because of its name: NameOfSecret says so, and the text is not just a reference to
	// a secret, such as a path or an ARN. NamedWithin reports whether the name is that of
	// a member of the value, not of the output.
	NamedSecret, NamedWithin bool
}
