//! Sprig's lists and dicts.

use super::{fail, hold};

#[test]
#[rustfmt::skip]
fn lists() {
    hold(&[
        (r#"{{ list 1 "a" }}{{ tuple 1 2 }}{{ list }}"#, "[1 a][1 2][]"),
        (r#"{{ first (list 1 2) }}{{ mustFirst (list 1) }}{{ first (list) }}{{ last (list 1 2) }}{{ mustLast (list 3) }}"#, "11<no value>23"),
        (r#"{{ rest (list 1 2 3) }}{{ mustRest (list 1) }}{{ initial (list 1 2 3) }}{{ mustInitial (list 1) }}{{ rest (list) }}"#, "[2 3][][1 2][][]"),
        (r#"{{ append (list 1) 2 }}{{ push (list 1) 2 }}{{ mustAppend (list) 1 }}{{ mustPush (list) 1 }}{{ prepend (list 1) 0 }}{{ mustPrepend (list) 1 }}"#, "[1 2][1 2][1][1][0 1][1]"),
        (r#"{{ $l := list 1 }}{{ $m := append $l 2 }}{{ $l }}{{ $m }}"#, "[1][1 2]"),
        (r#"{{ reverse (list 1 2 3) }}{{ mustReverse (list) }}{{ uniq (list 1 1 2 1) }}{{ mustUniq (list "a" "a") }}"#, "[3 2 1][][1 2][a]"),
        (r#"{{ without (list 1 2 3) 1 3 }}{{ mustWithout (list 1) 1 }}{{ compact (list 0 1 "" "a" nil) }}{{ mustCompact (list 0) }}"#, "[2][][1 a][]"),
        (r#"{{ has 4 (list 1 4) }}{{ mustHas "x" (list 1) }}{{ has 4 nil }}{{ has (add 1 3) (list 4) }}"#, "truefalsefalsefalse"),
        (r#"{{ slice (list 1 2 3 4 5) }}{{ slice (list 1 2 3) 1 }}{{ slice (list 1 2 3) 0 2 }}{{ mustSlice (list 1 2) 1 2 }}{{ slice (list) 3 }}"#, "[1 2 3 4 5][2 3][1 2][2]<no value>"),
        (r#"{{ slice "abc" 1 }}{{ slice "abc" 0 1 }}{{ slice "abc" }}"#, "bcaabc"),
        (r#"{{ concat (list 1) (list 2 3) (splitList "," "a") }}{{ concat }}"#, "[1 2 3 a][]"),
        (r#"{{ chunk 2 (list 1 2 3) }}{{ mustChunk 3 (list 1) }}{{ typeOf (chunk 2 (list 1)) }}{{ chunk 2 (list) }}"#, "[[1 2] [3]][[1]][][]interface {}[]"),
        (r#"{{ typeOf (slice (splitList "," "a,b") 1) }} {{ typeOf (append (splitList "," "a,b") 1) }}"#, "[]string []interface {}"),
        (r#"{{ index (list 1 (list 2 3)) 1 0 }}{{ range $i, $v := reverse (list "a" "b") }}{{ $i }}{{ $v }}{{ end }}"#, "20b1a"),
        (r#"{{ range $i, $e := splitList "," "a,b" }}{{ if $i }}, {{ end }}{{ $e }}{{ end }}"#, "a, b"),
    ]);
    fail(&[
        (r#"{{ first "abc" }}"#, "wants a list, got a value of type string"),
        (r#"{{ append nil 1 }}"#, "wants a list"),
        (r#"{{ slice (list 1) 0 5 }}"#, "slice bounds out of range"),
        (r#"{{ slice (list 1) 1 0 }}"#, "slice bounds out of range"),
        (r#"{{ slice "abc" 2 1 }}"#, "invalid slice index"),
        (r#"{{ slice "abc" 9 }}"#, "out of range"),
        (r#"{{ chunk 0 (list 1) }}"#, "must be positive"),
        (r#"{{ concat (list 1) 2 }}"#, "wants a list"),
        (r#"{{ has 1 "x" }}"#, "wants a list"),
    ]);
}

#[test]
#[rustfmt::skip]
fn dicts() {
    hold(&[
        (r#"{{ dict "a" 1 "b" }}{{ dict }}{{ dict 1 2 }}"#, "map[a:1 b:]map[]map[1:2]"),
        (r#"{{ $d := dict "a" 1 }}{{ get $d "a" }}{{ get $d "z" }}{{ $_ := set $d "b" 2 }}{{ $d }}{{ $_ := unset $d "a" }}{{ $d }}{{ hasKey $d "b" }}{{ hasKey $d "a" }}"#, "1map[a:1 b:2]map[b:2]truefalse"),
        (r#"{{ get . "a-b" }}{{ hasKey . "a" }}{{ hasKey . "zz" }}{{ get . "zz" }}|{{ get nil "x" }}|"#, "dashtruefalse||"),
        (r#"{{ keys (dict "b" 1 "a" 2) (dict "c" 3) }}{{ values (dict "b" 1 "a" 2) }}{{ keys . | len }}"#, "[a b c][2 1]6"),
        (r#"{{ pluck "a" (dict "a" 1) (dict "b" 2) (dict "a" 3) }}"#, "[1 3]"),
        (r#"{{ pick (dict "a" 1 "b" 2 "c" 3) "a" "c" "z" }}{{ omit (dict "a" 1 "b" 2) "a" }}{{ pick . "a" }}"#, "map[a:1 c:3]map[b:2]map[a:x]"),
        (r#"{{ merge (dict "a" 1 "z" "") (dict "a" 2 "b" 3 "z" "s") }}"#, "map[a:1 b:3 z:s]"),
        (r#"{{ mergeOverwrite (dict "a" 1 "n" (dict "x" 1)) (dict "a" 2 "n" (dict "y" 2)) }}"#, "map[a:2 n:map[x:1 y:2]]"),
        (r#"{{ mustMerge (dict) (dict "a" 1) }}{{ mustMergeOverwrite (dict "a" 0) (dict "a" 1) (dict "a" 2) }}"#, "map[a:1]map[a:2]"),
        (r#"{{ $a := dict "x" 1 }}{{ $_ := merge $a (dict "y" 2) }}{{ $a }}{{ $_ := merge $a $a }}{{ $a }}"#, "map[x:1 y:2]map[x:1 y:2]"),
        (r#"{{ dig "a" "b" "none" (dict "a" (dict "b" 5)) }}{{ dig "a" "z" "none" (dict "a" (dict "b" 5)) }}{{ dict "k" "v" | dig "k" "d" }}{{ dig "a" "d" . }}"#, "5nonevx"),
        (r#"{{ range $k, $v := dict "b" 1 "a" (list 1 2) }}{{ $k }}={{ $v }};{{ end }}"#, "a=[1 2];b=1;"),
        (r#"{{ with dict "k" "v" }}{{ .k }}{{ $.a }}{{ end }}{{ (dict "a" (dict "b" "c")).a.b }}"#, "vxc"),
        (r#"{{ $d := dict }}{{ range list "a" "b" }}{{ $_ := set $d . true }}{{ end }}{{ $d }}"#, "map[a:true b:true]"),
        (r#"{{ index (dict "a" (dict "b" 1)) "a" "b" }}{{ index (split "," "a") "nope" }}|{{ len (dict "a" 1) }}"#, "1|1"),
    ]);
    fail(&[
        (r#"{{ set nil "a" 1 }}"#, "cannot set a key of nil"),
        (r#"{{ set (split "," "a") "a" 1 }}"#, "expected map[string]interface {}, got map[string]string"),
        (r#"{{ dig "a" "b" }}"#, "wants at least"),
        (r#"{{ dig "a" "b" "d" (dict "a" 1) }}"#, "wants texts and dicts"),
        (r#"{{ merge nil (dict) }}"#, "cannot merge into nil"),
        (r#"{{ keys "x" }}"#, "expected map[string]interface {}, got string"),
    ]);
}

#[test]
fn a_dict_within_itself_neither_hangs_nor_leaks() {
    hold(&[(r#"{{ $d := dict }}{{ $_ := set $d "d" $d }}{{ hasKey $d.d.d.d "d" }}"#, "true")]);
    let deep = "in each other";
    fail(&[
        (r#"{{ $d := dict }}{{ $_ := set $d "d" $d }}{{ $d }}"#, deep),
        (r#"{{ $d := dict }}{{ $_ := set $d "d" $d }}{{ toJson $d }}"#, deep),
        (r#"{{ $d := dict }}{{ $_ := set $d "d" $d }}{{ deepEqual $d (deepCopy $d) }}"#, deep),
        (r#"{{ $d := dict }}{{ $_ := set $d "d" (list $d $d) }}{{ deepCopy $d }}"#, "limit"),
        (
            r#"{{ $d := dict }}{{ $e := dict }}{{ $_ := set $d "x" $e }}{{ $_ := set $e "x" $d }}{{ merge $d $e }}"#,
            "",
        ),
    ]);
}
