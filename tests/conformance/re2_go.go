// Puts what Go's regexp says in the place of what RE2 in C++ said: reads rows of re2_oracle.py, writes them again.
//
//	./re2_oracle.py | go run re2_go.go > re2.jsonl
//
// Go is what configurations were written against, and where the two part, it is right. Says on stderr how often they do.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"regexp"
)

func main() {
	rows := bufio.NewScanner(os.Stdin)
	rows.Buffer(nil, 1<<20)
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	written := json.NewEncoder(out)
	written.SetEscapeHTML(false)
	cases, differ := 0, 0
	for rows.Scan() {
		var row []any
		if err := json.Unmarshal(rows.Bytes(), &row); err != nil {
			panic(err)
		}
		expression, err := regexp.Compile(row[0].(string))
		cases += max(1, len(row)/2)
		if (err == nil) != (len(row) > 1) {
			differ++
			if err != nil {
				row = row[:1]
			} else {
				row = append(row, "", spans(expression, ""))
			}
		}
		for at := 1; at+1 < len(row); at += 2 {
			found := spans(expression, row[at].(string))
			if !reflect.DeepEqual(found, row[at+1]) {
				differ++
			}
			row[at+1] = found
		}
		written.Encode(row)
	}
	fmt.Fprintf(os.Stderr, "%d cases, in %d of them Go differs from RE2\n", cases, differ)
}

func spans(expression *regexp.Regexp, text string) []any {
	found := []any{}
	for _, at := range expression.FindStringSubmatchIndex(text) {
		found = append(found, float64(at))
	}
	return found
}
