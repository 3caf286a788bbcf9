package why

import (
	"fmt"
	"strings"
)

// Text says in a sentence how the nearest that is there differs.
func Text(differences []Difference) string {
	var parts []string
	for _, d := range differences {
		parts = append(parts, d.text())
	}
	return strings.Join(parts, "; ")
}

func (d Difference) text() string {
	subject := map[Kind]string{
		Service: "the service", Name: "the name", Case: "the capitals of the name", Space: "the spaces of the name", Unicode: "the Unicode form of the name",
		Escaped: "the escapes of the name", Slash: "the slashes of the name", Argument: "the argument", Date: "the date",
		DateForm: "the form of the date", Hash: "the hash of the settings", Setting: "the setting", Library: "the library", Python: "Python", Code: "the code of the function",
	}[d.Kind]
	if d.Name != "" {
		subject += " " + d.Name
	}
	return fmt.Sprintf("%s: %s there, %s asked for", subject, shown(d.There), shown(d.Asked))
}

func shown(value *string) string {
	switch {
	case value == nil || *value == "":
		return "none"
	case strings.HasPrefix(*value, "#"):
		return "a value of digest " + (*value)[1:]
	}
	return *value
}
