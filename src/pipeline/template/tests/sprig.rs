//! Sprig's functions on texts, numbers, dates, versions, paths, codes and URLs.

use super::{fail, hold};

#[test]
#[rustfmt::skip]
fn texts() {
    hold(&[
        (r#"{{ abbrev 5 "hello world" }}"#, "he..."),
        (r#"{{ abbrev 3 "hello world" }}"#, "hello world"),
        (r#"{{ abbrev 50 "hello" }}"#, "hello"),
        (r#"{{ abbrevboth 5 10 "1234 5678 9123" }}"#, "...5678..."),
        (r#"{{ abbrevboth 0 8 "1234 5678 9123" }}"#, "1234 ..."),
        (r#"{{ abbrevboth 12 10 "1234 5678 9123" }}"#, "...78 9123"),
        (r#"{{ trunc 5 "hello world" }}"#, "hello"),
        (r#"{{ trunc -5 "hello world" }}"#, "world"),
        (r#"{{ trunc 50 "hello" }}{{ trunc -50 "hello" }}"#, "hellohello"),
        (r#"{{ trunc 1 "é" }}"#, "\u{fffd}"),
        (r#"{{ trim "  a  " }}|{{ upper "aé" }}|{{ lower "AÉ" }}"#, "a|AÉ|aé"),
        (r#"{{ title "hello wide world" }}|{{ untitle "Hello Wide World" }}"#, "Hello Wide World|hello wide world"),
        (r#"{{ substr 0 5 "hello world" }}|{{ substr -1 5 "hello" }}|{{ substr 2 -1 "hello" }}|{{ substr 1 99 "hello" }}"#, "hello|hello|llo|ello"),
        (r#"{{ repeat 3 "ab" }}|{{ "x" | repeat 2 }}|{{ repeat 0 "x" }}"#, "ababab|xx|"),
        (r#"{{ trimAll "$" "$5.00$" }}{{ trimall "$" "$1" }}{{ trimSuffix "-" "a-" }}{{ trimPrefix "-" "-a" }}"#, "5.001aa"),
        (r#"{{ nospace " h e l\tlo " }}|{{ initials "First Try" }}"#, "hello|FT"),
        (r#"{{ swapcase "This Is A.Test" }}"#, "tHIS iS a.tEST"),
        (r#"{{ snakecase "FirstName" }} {{ snakecase "HTTPServer" }} {{ snakecase "NoHTTPS" }} {{ snakecase "GO_PATH" }} {{ snakecase "GO PATH" }}"#, "first_name http_server no_https go_path go_path"),
        (r#"{{ snakecase "http2xx" }} {{ snakecase "HTTP20xOK" }} {{ snakecase "Duration2m3s" }} {{ snakecase "Bld4Floor3rd" }}"#, "http_2xx http_20x_ok duration_2m3s bld4_floor_3rd"),
        (r#"{{ kebabcase "FirstName" }} {{ kebabcase "GO_PATH" }}"#, "first-name go-path"),
        (r#"{{ camelcase "http_server" }} {{ camelcase "some words" }} {{ camelcase "_complex__case_" }} {{ camelcase "GOLANG_IS_GREAT" }}"#, "HttpServer SomeWords _Complex_Case_ GolangIsGreat"),
        (r#"{{ wrap 10 "the quick brown fox jumped" }}"#, "the quick\nbrown fox\njumped"),
        (r#"{{ wrap 3 "longword a b" }}"#, "longword\na b"),
        (r#"{{ wrapWith 5 "\t" "Hello World and more" }}"#, "Hello\tWorld\tand\tmore"),
        (r#"{{ wrapWith 3 "|" "abcdefgh" }}"#, "abc|def|gh"),
        (r#"{{ contains "cat" "catch" }}{{ hasPrefix "cat" "catch" }}{{ hasSuffix "ch" "catch" }}{{ "catch" | contains "x" }}"#, "truetruetruefalse"),
        (r#"{{ quote "a\"b" 5 .missing }}|{{ squote "a" true }}|{{ quote }}"#, r#""a\"b" "5"|'a' 'true'|"#),
        (r#"{{ cat "hello" "beautiful" 5 nil }}"#, "hello beautiful 5"),
        (r#"{{ indent 4 "a\nb" }}|{{ nindent 2 "a\nb" }}|{{ indent 0 "a" }}"#, "    a\n    b|\n  a\n  b|a"),
        (r#"{{ "I Am Henry VIII" | replace " " "-" }}|{{ replace "" "-" "ab" }}"#, "I-Am-Henry-VIII|-a-b-"),
        (r#"{{ len .Value | plural "one" "many" }}{{ plural "one" "many" 1 }}"#, "manyone"),
        (r#"{{ toString 5 }}{{ toString (list 1 "a") }}{{ toString nil }}{{ toString 1000000.0 }}"#, "5[1 a]<nil>1e+06"),
        (r#"{{ join "_" (list 1 "a" nil true) }}|{{ join "-" "x" }}|{{ join "-" nil }}"#, "1_a_true|x|"),
        (r#"{{ sortAlpha (list "c" "a" 2) }}|{{ sortAlpha "x" }}"#, "[2 a c]|[x]"),
        (r#"{{ $p := split "$" "foo$bar$baz" }}{{ $p._0 }}{{ $p._2 }}{{ $p._9 }}"#, "foobaz<no value>"),
        (r#"{{ $p := splitn "$" 2 "foo$bar$baz" }}{{ $p._0 }} {{ $p._1 }}"#, "foo bar$baz"),
        (r#"{{ splitList "$" "foo$bar" }}{{ splitList "" "aé" }}{{ splitList "," "" | len }}{{ splitList "" "" | len }}"#, "[foo bar][a é]10"),
        (r#"{{ toStrings (list 1 nil "b") }}{{ toStrings 5 }}{{ toStrings nil }}"#, "[1 b][5][]"),
        (r#"{{ hello }}"#, "Hello!"),
    ]);
    fail(&[
        (r#"{{ repeat -1 "x" }}"#, "negative repeat count"),
        (r#"{{ substr 9 3 "hello" }}"#, "slice bounds out of range"),
        (r#"{{ indent -1 "x" }}"#, "negative"),
        (r#"{{ trunc "5" "x" }}"#, "expected int, got string"),
        (r#"{{ repeat (add 1 1) "x" }}"#, "expected int, got int64"),
        (r#"{{ fail "said so" }}"#, "said so"),
    ]);
}

#[test]
#[rustfmt::skip]
fn numbers() {
    hold(&[
        ("{{ add 1 2 3 }} {{ add }} {{ add \"5\" 2.9 true nil \"x\" }}", "6 0 8"),
        ("{{ add1 4 }} {{ sub 5 3 }} {{ div 7 2 }} {{ mod 7 2 }} {{ mul 2 3 4 }} {{ div -7 2 }} {{ mod -7 2 }}", "5 2 3 1 24 -3 -1"),
        ("{{ add 9223372036854775807 1 }}", "-9223372036854775808"),
        ("{{ addf 0.1 0.2 }} {{ add1f 1.5 }} {{ subf 1.1 1 }} {{ mulf 1.1 1.1 }} {{ divf 1 3 }} {{ divf 10 4 2 }}", "0.3 2.5 0.1 1.21 0.3333333333333333 1.25"),
        ("{{ addf }} {{ addf 1e308 1e-308 }} {{ mulf 1e200 1e100 }} {{ divf 2 3 }} {{ divf -2 3 }}", "0 1e+308 1e+300 0.6666666666666667 -0.6666666666666667"),
        ("{{ max 1 5 3 }} {{ min 4 2 }} {{ biggest 1 2 }} {{ maxf 1.5 3 }} {{ minf 1.5 3 \"0.5\" }}", "5 2 2 3 0.5"),
        ("{{ ceil 123.001 }} {{ floor 123.9999 }} {{ round 123.555555 3 }} {{ round -1.55 1 }} {{ round 2.4 0 0.4 }}", "124 123 123.556 -1.6 2"),
        ("{{ ceil \"1.2\" }} {{ floor true }} {{ float64 \"1.5\" }} {{ float64 \"x\" }} {{ int 5.9 }} {{ int64 \"0x10\" }} {{ int \"12.00\" }} {{ int \"12.01\" }} {{ int \"010\" }}", "2 1 1.5 0 5 16 12 0 8"),
        ("{{ atoi \"42\" }} {{ atoi \"x\" }} {{ atoi \"+7\" }} {{ toDecimal \"0777\" }} {{ toDecimal 777 }} {{ toDecimal \"9\" }}", "42 0 7 511 511 0"),
        ("{{ until 5 }} {{ until -3 }} {{ until 0 }} {{ untilStep 3 6 2 }} {{ untilStep 6 0 -2 }} {{ untilStep 0 5 0 }} {{ untilStep 5 0 1 }}", "[0 1 2 3 4] [0 -1 -2] [] [3 5] [6 4 2] [] []"),
        ("{{ seq 5 }}|{{ seq -3 }}|{{ seq 0 2 }}|{{ seq 2 -2 }}|{{ seq 0 2 10 }}|{{ seq 0 -2 -5 }}|{{ seq }}|{{ seq 5 1 1 }}", "1 2 3 4 5|1 0 -1 -2 -3|0 1 2|2 1 0 -1 -2|0 2 4 6 8 10|0 -2 -4||"),
        ("{{ typeOf (add 1 2) }} {{ typeOf (int \"5\") }} {{ typeOf (addf 1 2) }} {{ typeOf (until 1) }}", "int64 int float64 []int"),
    ]);
    fail(&[
        ("{{ div 1 0 }}", "division by zero"),
        ("{{ mod 1 \"x\" }}", "division by zero"),
        ("{{ divf 1 0 }}", "no number"),
        ("{{ until \"5\" }}", "expected int, got string"),
    ]);
}

#[test]
#[rustfmt::skip]
fn dates() {
    hold(&[
        (r#"{{ dateInZone "2006-01-02 15:04:05 MST" 1600000000 "UTC" }}"#, "2020-09-13 12:26:40 UTC"),
        (r#"{{ date_in_zone "15:04 -0700" 1600000000 "Europe/Vienna" }}"#, "14:26 +0200"),
        (r#"{{ dateInZone "06" 0 "No/Where" }}{{ htmlDateInZone 0 "UTC" }}"#, "701970-01-01"),
        (r#"{{ toDate "2006-01-02T15:04:05Z07:00" "2020-09-13T12:26:40Z" | unixEpoch }}"#, "1600000000"),
        (r#"{{ $t := toDate "2006-01-02T15:04:05Z07:00" "2020-09-13T12:26:40Z" }}{{ dateInZone "15:04" (dateModify "-1h30m" $t) "UTC" }}{{ dateInZone "15:04" (date_modify "bad" $t) "UTC" }}"#, "10:5612:26"),
        (r#"{{ $t := mustToDate "2006-01-02T15:04:05Z07:00" "2020-09-13T12:26:40Z" }}{{ dateInZone "15:04" (mustDateModify "1h" $t) "UTC" }}{{ ($t.UTC).Year }}{{ $t.UTC.Month }}{{ $t.UTC.Weekday }}{{ $t.Unix }}{{ $t.UTC.Format "Jan _2" }}"#, "13:262020SeptemberSunday1600000000Sep 13"),
        (r#"{{ toDate "2006" "x" | date "2006-01-02" | len }}"#, "10"),
        (r#"{{ (toDate "2006-01-02T15:04:05Z07:00" "2020-09-13T12:26:40.5Z").UTC }}"#, "2020-09-13 12:26:40.5 +0000 UTC"),
        (r#"{{ duration "95" }} {{ duration 95 }} {{ duration (int64 3661) }} {{ duration "x" }}"#, "1m35s 0s 1h1m1s 0s"),
        (r#"{{ durationRound "2h10m5s" }} {{ durationRound "2400h10m5s" }} {{ durationRound "800ms" }} {{ durationRound "48h1s" }} {{ durationRound "9000h" }} {{ durationRound "-90m" }} {{ durationRound 5 }}"#, "2h 3mo 0s 2d 1y -1h 0s"),
        (r#"{{ ago now }} {{ typeOf now }} {{ kindOf now }} {{ (now).Year | lt 2000 }}"#, "0s time.Time struct true"),
        (r#"{{ date "2006" now | len }}{{ htmlDate now | len }}{{ date "2006" "text" | len }}{{ ago "x" }}"#, "41040s"),
    ]);
    fail(&[
        (r#"{{ mustToDate "2006" "x" }}"#, "does not match"),
        (r#"{{ mustDateModify "x" now }}"#, "invalid duration"),
        (r#"{{ unixEpoch 5 }}"#, "expected time.Time, got int"),
        (r#"{{ (now).Nothing }}"#, "has no field Nothing"),
    ]);
}

#[test]
#[rustfmt::skip]
fn defaults_and_reflection() {
    hold(&[
        (r#"{{ default "d" "" }}{{ default "d" .missing }}{{ .a | default "d" }}{{ default "d" 0 }}{{ default "d" }}{{ default "d" (list) }}"#, "ddxddd"),
        (r#"{{ empty "" }}{{ empty 0 }}{{ empty false }}{{ empty nil }}{{ empty (dict) }}{{ empty "x" }}{{ empty now }}"#, "truetruetruetruetruefalsefalse"),
        (r#"{{ coalesce 0 "" nil "x" 5 }}{{ coalesce }}{{ coalesce 0 }}"#, "x<no value><no value>"),
        (r#"{{ all 1 "a" }}{{ all 1 0 }}{{ all }}{{ any 0 "" 1 }}{{ any }}"#, "truefalsetruetruefalse"),
        (r#"{{ ternary "y" "n" true }}{{ false | ternary "y" "n" }}"#, "yn"),
        (r#"{{ typeOf nil }} {{ typeIs "string" "x" }} {{ typeIsLike "semver.Version" (semver "1.2.3") }} {{ typeIs "int" 1.0 }}"#, "<nil> true true false"),
        (r#"{{ kindOf "x" }} {{ kindOf (list) }} {{ kindOf (dict) }} {{ kindOf nil }} {{ kindIs "int" 123 }} {{ kindOf (semver "1") }} {{ kindOf 1.5 }} {{ kindOf true }}"#, "string slice map invalid true ptr float64 bool"),
        (r#"{{ deepEqual (list 1 2) (list 1 2) }}{{ deepEqual (dict "a" (list 1)) (dict "a" (list 1)) }}{{ deepEqual 1 "1" }}{{ deepEqual (list "a") (splitList "," "a") }}"#, "truetruefalsefalse"),
        (r#"{{ $d := dict "a" (dict "b" 1) }}{{ $c := deepCopy $d }}{{ $_ := set $d.a "b" 2 }}{{ $c.a.b }}{{ $d.a.b }}{{ mustDeepCopy (list 1) }}"#, "12[1]"),
    ]);
}

#[test]
#[rustfmt::skip]
fn json() {
    hold(&[
        (r#"{{ toJson (dict "b" 1 "a" (list "x" nil true 1.5)) }}"#, r#"{"a":["x",null,true,1.5],"b":1}"#),
        (r#"{{ toJson "<a&b>" }}{{ toRawJson "<a&b>" }}{{ mustToRawJson "é\u2028" }}"#, "\"\\u003ca\\u0026b\\u003e\"\"<a&b>\"\"é\\u2028\""),
        (r#"{{ toJson 1e21 }} {{ toJson 1e-7 }} {{ toJson 123456789.0 }} {{ toJson nil }} {{ mustToJson (semver "v1.2") }}"#, r#"1e+21 1e-7 123456789 null "1.2.0""#),
        (r#"{{ toPrettyJson (dict "a" (list 1) "b" (dict) "c" (list)) }}{{ mustToPrettyJson 1 }}"#, "{\n  \"a\": [\n    1\n  ],\n  \"b\": {},\n  \"c\": []\n}1"),
        (r#"{{ toJson . }}"#, r#"{"Value":"Hello World","a":"x","a-b":"dash","b":"","lvl":"WARN","n":"42"}"#),
        (r#"{{ (fromJson "{\"a\":{\"b\":[1,2]}}").a.b }} {{ fromJson "nope" }} {{ (mustFromJson "[1]") | first | typeOf }}"#, "[1 2] <no value> float64"),
        (r#"{{ with fromJson "{\"a\":1}" }}{{ .a }}{{ end }}{{ range $k, $v := fromJson "{\"z\":1,\"y\":2}" }}{{ $k }}{{ $v }}{{ end }}"#, "1y2z1"),
    ]);
    fail(&[(r#"{{ mustFromJson "nope" }}"#, "not JSON")]);
}

#[test]
#[rustfmt::skip]
fn paths_and_codes() {
    hold(&[
        (r#"{{ base "/a/b.txt" }} {{ dir "/a/b.txt" }} {{ clean "/a/../b" }} {{ ext "/a/b.txt" }} {{ isAbs "/a" }}"#, "b.txt /a /b .txt true"),
        (r#"{{ osBase "/a/b.txt" }} {{ osDir "/a/b.txt" }} {{ osClean "a//b" }} {{ osExt "b.txt" }} {{ osIsAbs "a" }}"#, "b.txt /a a/b .txt false"),
        (r#"{{ b64enc "test" }} {{ b64dec "dGVzdA==" }} {{ b32enc "test" }} {{ b32dec "ORSXG5A=" }}"#, "dGVzdA== test ORSXG5A= test"),
        (r#"{{ b64dec "%" }}"#, "illegal base64 data at input byte 0"),
        (r#"{{ sha1sum "abc" }}"#, "a9993e364706816aba3e25717850c26c9cd0d89d"),
        (r#"{{ sha256sum "abc" }}"#, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (r#"{{ sha512sum "abc" | trunc 16 }}"#, "ddaf35a193617aba"),
        (r#"{{ adler32sum "Wikipedia" }} {{ adler32sum "" }}"#, "300286872 1"),
        (r#"{{ regexMatch "^[a-z]+$" "abc" }}{{ regexMatch "(" "abc" }}{{ mustRegexMatch "b" "abc" }}"#, "truefalsetrue"),
        (r#"{{ regexFind "[a-z][1-9]" "abcd1234" }}|{{ regexFind "x" "abc" }}|{{ mustRegexFind "b" "abc" }}"#, "d1||b"),
        (r#"{{ regexFindAll "[2,4,6,8]" "123456789" -1 }}{{ regexFindAll "a" "aaa" 2 }}{{ mustRegexFindAll "x" "a" -1 }}{{ regexFindAll "a" "a" 0 }}"#, "[2 4 6 8][a a][][]"),
        (r#"{{ regexSplit "z+" "pizza" -1 }}{{ mustRegexSplit "," "a,b,c" 2 }}"#, "[pi a][a b,c]"),
        (r#"{{ mustRegexReplaceAll "a(x*)b" "-ab-axxb-" "${1}W" }}{{ mustRegexReplaceAllLiteral "a" "ab" "$0" }}{{ regexQuoteMeta "1.2[3]" }}"#, r"-W-xxW-$0b1\.2\[3\]"),
        (r#"{{ (urlParse "http://admin:secret@server.com:8080/api?list=false#anchor").hostname }}"#, "server.com"),
        (r#"{{ urlJoin (urlParse "http://admin:secret@server.com:8080/api?list=false#anchor") }}"#, "http://admin:secret@server.com:8080/api?list=false#anchor"),
        (r#"{{ urlJoin (dict "scheme" "http" "host" "host:80" "path" "/path" "query" "query" "opaque" "opaque") }}"#, "http:opaque?query"),
        (r#"{{ len (randAlpha 5) }}{{ len (randAlphaNum 6) }}{{ len (randNumeric 7) }}{{ len (randAscii 8) }}{{ randAlpha -1 | len }}{{ randBytes 3 | len }}"#, "567804"),
        (r#"{{ regexMatch "^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$" uuidv4 }}"#, "true"),
        (r#"{{ $n := randInt 5 7 }}{{ or (eq $n 5) (eq $n 6) }}{{ shuffle "aaa" }}{{ regexMatch "^[0-9]{20}$" (randNumeric 20) }}"#, "trueaaatrue"),
    ]);
    fail(&[
        (r#"{{ regexFind "(" "abc" }}"#, "invalid regular expression"),
        (r#"{{ mustRegexMatch "(" "abc" }}"#, "invalid regular expression"),
        (r#"{{ urlParse "http://h:x/" }}"#, "unable to parse the URL"),
        (r#"{{ urlJoin (dict "scheme" 5) }}"#, "must be of type string"),
        (r#"{{ randInt 5 5 }}"#, "greater"),
    ]);
}

#[test]
#[rustfmt::skip]
fn versions() {
    hold(&[
        (r#"{{ $v := semver "v1.2.3-alpha.1+123" }}{{ $v.Major }}.{{ $v.Minor }}.{{ $v.Patch }} {{ $v.Prerelease }} {{ $v.Metadata }} {{ $v.Original }} {{ $v }} {{ semver "1" }}"#, "1.2.3 alpha.1 123 v1.2.3-alpha.1+123 1.2.3-alpha.1+123 1.0.0"),
        (r#"{{ semverCompare "1.2.3" "1.2.3" }}{{ semverCompare "^1.2.0" "1.3.0" }}{{ semverCompare "^1.2.0" "2.0.0" }}{{ semverCompare "~1.2.0" "1.3.0" }}"#, "truetruefalsefalse"),
        (r#"{{ semverCompare ">=1.2 <2, !=1.5.0" "1.4.9" }}{{ semverCompare ">=1.2 <2, !=1.5.0" "1.5.0" }}{{ semverCompare "1.x || 3.x" "3.1.0" }}{{ semverCompare "1.2 - 1.4" "1.4.0" }}{{ semverCompare "*" "0.0.1" }}"#, "truefalsetruetruetrue"),
        (r#"{{ semverCompare ">1.2" "1.2.5" }}{{ semverCompare ">1.2" "1.3.0" }}{{ semverCompare "<=1.2" "1.2.9" }}{{ semverCompare "<=1.2" "1.3.0" }}{{ semverCompare ">11" "11.1.0" }}"#, "falsetruetruefalsefalse"),
        (r#"{{ semverCompare "^0.2.3" "0.2.9" }}{{ semverCompare "^0.2.3" "0.3.0" }}{{ semverCompare "^0.0.3" "0.0.4" }}{{ semverCompare "^0" "0.9.0" }}{{ semverCompare "^0.0" "0.0.9" }}{{ semverCompare "~1" "1.9.0" }}"#, "truefalsefalsetruetruetrue"),
        (r#"{{ semverCompare ">=1.0.0" "1.2.0-beta" }}{{ semverCompare ">=1.0.0-0" "1.2.0-beta" }}{{ semverCompare "<1.0.0-beta.11" "1.0.0-beta.2" }}{{ semverCompare "=1.0.0" "1.0.0+build" }}"#, "falsetruetruetrue"),
        (r#"{{ semverCompare "!=1.x" "1.5.0" }}{{ semverCompare "!=1.x" "2.0.0" }}{{ semverCompare "=> 1.0 , =< 1.5" "1.5.9" }}"#, "falsetruetrue"),
    ]);
    fail(&[
        (r#"{{ semver "one" }}"#, "is not a semantic version"),
        (r#"{{ semverCompare "!!" "1" }}"#, "is not a constraint"),
        (r#"{{ semverCompare "^1" "x" }}"#, "is not a semantic version"),
        (r#"{{ (semver "1").Nope }}"#, "has no field Nope"),
    ]);
}
