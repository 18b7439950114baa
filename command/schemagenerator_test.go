package command_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"tfhaul/report"
)

// A generator makes JSON Schemas of Go types, as package encoding/json writes them. It
// reads descriptions and the values of string types from the source code.
type generator struct {
	t    *testing.T
	defs object
}

func newGenerator(t *testing.T) *generator { return &generator{t: t} }

// An object is a JSON object whose members keep their order.
type object []member

type member struct {
	name  string
	value any
}

func (o object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if err := e.Encode(m.name); err != nil {
			return nil, err
		}
		b.WriteByte(':')
		if err := e.Encode(m.value); err != nil {
			return nil, err
		}
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// schema returns the schema of a kind of document.
func (g *generator) schema(d printed) []byte {
	title := "tfhaul " + d.name + " --json"
	if d.name == "progress" {
		title = "Progress of tfhaul --json"
	}
	root := object{
		{"$schema", "https://json-schema.org/draft/2020-12/schema"},
		{"$id", "urn:tfhaul:1:" + d.name},
		{"title", title},
		{"description", d.description},
	}
	var forms []object
	for _, value := range d.types {
		forms = append(forms, g.object(reflect.TypeOf(value), true))
	}
	if len(forms) == 1 {
		root = append(root, forms[0]...)
	} else {
		root = append(root, member{"anyOf", forms})
	}
	if len(g.defs) > 0 {
		root = append(root, member{"$defs", g.defs})
	}
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(root); err != nil {
		g.t.Fatal(err)
	}
	return text.Bytes()
}

// of returns the schema of a type.
func (g *generator) of(typ reflect.Type) object {
	switch {
	case typ == reflect.TypeFor[time.Time]():
		return object{{"type", "string"}, {"format", "date-time"}}
	case typ.Kind() == reflect.String && len(sources(g.t, typ.PkgPath()).values[typ.Name()]) > 0:
		return g.named(typ, func() object {
			return object{{"type", "string"}, {"enum", g.values(typ)}}
		})
	case typ.Kind() == reflect.Struct:
		return g.named(typ, func() object { return g.object(typ, false) })
	}
	switch typ.Kind() {
	case reflect.String:
		return object{{"type", "string"}}
	case reflect.Bool:
		return object{{"type", "boolean"}}
	case reflect.Int, reflect.Int64:
		return object{{"type", "integer"}}
	case reflect.Float64:
		return object{{"type", "number"}}
	case reflect.Pointer:
		return g.of(typ.Elem())
	case reflect.Slice:
		return object{{"type", "array"}, {"items", g.of(typ.Elem())}}
	case reflect.Map:
		schema := object{{"type", "object"}}
		if key := g.of(typ.Key()); key[0].name == "$ref" {
			schema = append(schema, member{"propertyNames", key})
		}
		return append(schema, member{"additionalProperties", g.of(typ.Elem())})
	}
	panic(fmt.Sprintf("the generator has no schema for the type %s", typ))
}

// mayBeEmpty are string types whose value is "" where there is nothing to name.
var mayBeEmpty = regexp.MustCompile(`^(Code|Relation)$`)

func (g *generator) values(typ reflect.Type) []string {
	values := sources(g.t, typ.PkgPath()).values[typ.Name()]
	if mayBeEmpty.MatchString(typ.Name()) {
		values = append([]string{""}, values...)
	}
	return values
}

// named returns a reference to the schema of a type with a name.
func (g *generator) named(typ reflect.Type, schema func() object) object {
	pkg, name := filepath.Base(typ.PkgPath()), typ.Name()
	if pkg == "report" || strings.HasPrefix(pkg, "command") {
		pkg = ""
	}
	name = capitalized(pkg) + capitalized(name)
	reference := object{{"$ref", "#/$defs/" + name}}
	for _, d := range g.defs {
		if d.name == name {
			return reference
		}
	}
	at := len(g.defs)
	g.defs = append(g.defs, member{name, nil}) // the type may contain itself
	g.defs[at].value = append(described(sources(g.t, typ.PkgPath()).comments[typ.Name()]), schema()...)
	return reference
}

func capitalized(name string) string {
	if name == "" {
		return ""
	}
	return strings.ToUpper(name[:1]) + name[1:]
}

func described(text string) object {
	if text == "" {
		return nil
	}
	return object{{"description", text}}
}

// object returns the schema of a struct.
func (g *generator) object(typ reflect.Type, root bool) object {
	var required []string
	var properties object
	if root {
		required = append(required, "format")
		properties = append(properties, member{"format", object{{"const", report.Format}}})
	}
	g.fields(typ, root, &required, &properties)
	schema := object{{"type", "object"}}
	if len(required) > 0 {
		schema = append(schema, member{"required", required})
	}
	return append(schema, member{"properties", properties})
}

func (g *generator) fields(typ reflect.Type, root bool, required *[]string, properties *object) {
	for i := range typ.NumField() {
		field := typ.Field(i)
		if field.Anonymous && field.Tag.Get("json") == "" {
			g.fields(field.Type, false, required, properties)
			continue
		}
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "-" || !field.IsExported() || root && name == "format" {
			continue
		}
		optional := strings.Contains(options, "omit")
		if name == "" {
			g.t.Errorf("%s.%s has no name in JSON", typ, field.Name)
		}
		if !optional {
			*required = append(*required, name)
		}
		schema := g.of(field.Type)
		if field.Type.Kind() == reflect.Pointer && !optional {
			schema[0].value = []string{"integer", "null"}
		}
		text := sources(g.t, typ.PkgPath()).comments[typ.Name()+"."+field.Name]
		*properties = append(*properties, member{name, append(described(inJSON(typ, text)), schema...)})
	}
}

// inJSON replaces the names of a struct's fields in a comment by those in JSON.
func inJSON(typ reflect.Type, text string) string {
	return regexp.MustCompile(`\b[A-Z]\w*`).ReplaceAllStringFunc(text, func(word string) string {
		field, ok := typ.FieldByName(word)
		if name, _, _ := strings.Cut(field.Tag.Get("json"), ","); ok && name != "" && name != "-" {
			return name
		}
		return word
	})
}

// A source is what the source code of a package says about its types.
type source struct {
	comments map[string]string   // of TYPE and TYPE.FIELD
	values   map[string][]string // the constants of a string type
}

var readSources = struct {
	sync.Mutex
	of map[string]*source
}{of: map[string]*source{}}

// sources reads the source code of a package of this module.
func sources(t *testing.T, path string) *source {
	t.Helper()
	readSources.Lock()
	defer readSources.Unlock()
	if s := readSources.of[path]; s != nil {
		return s
	}
	s := &source{map[string]string{}, map[string][]string{}}
	readSources.of[path] = s
	dir, ok := strings.CutPrefix(strings.TrimSuffix(path, "_test"), "tfhaul/")
	if !ok {
		return s
	}
	dir = filepath.Join("..", filepath.FromSlash(dir))
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		// Only the package's own tests declare types of documents, in one file.
		if name := entry.Name(); !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") != strings.HasSuffix(path, "_test") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, entry.Name()), nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, declaration := range file.Decls {
			if d, ok := declaration.(*ast.GenDecl); ok {
				s.read(d)
			}
		}
	}
	return s
}

func (s *source) read(d *ast.GenDecl) {
	for _, spec := range d.Specs {
		switch spec := spec.(type) {
		case *ast.TypeSpec:
			s.comments[spec.Name.Name] = comment(spec.Doc)
			if !d.Lparen.IsValid() {
				s.comments[spec.Name.Name] = comment(d.Doc)
			}
			fields, ok := spec.Type.(*ast.StructType)
			if !ok {
				continue
			}
			for _, field := range fields.Fields.List {
				for _, name := range field.Names {
					s.comments[spec.Name.Name+"."+name.Name] = comment(field.Doc, field.Comment)
				}
			}
		case *ast.ValueSpec:
			typ, ok := spec.Type.(*ast.Ident)
			if !ok || d.Tok != token.CONST {
				continue
			}
			for _, value := range spec.Values {
				if literal, ok := value.(*ast.BasicLit); ok && literal.Kind == token.STRING {
					if text, err := strconv.Unquote(literal.Value); err == nil {
						s.values[typ.Name] = append(s.values[typ.Name], text)
					}
				}
			}
		}
	}
}

// comment returns the first comment as one line.
func comment(groups ...*ast.CommentGroup) string {
	for _, group := range groups {
		if text := strings.Join(strings.Fields(group.Text()), " "); text != "" {
			return text
		}
	}
	return ""
}
