//! What the errors say.

use super::super::Template;

fn refusal(text: &str) -> String {
    Template::parse(text).expect_err(text).to_string()
}

#[test]
fn errors_name_the_line_and_the_byte() {
    assert_eq!(refusal("a\n{{ nope }}"), "function \"nope\" is unknown (line 2, byte 5)");
    assert_eq!(refusal("{{ .Value "), "unclosed action (line 1, byte 10)");
    assert_eq!(refusal("{{ if .a }}x"), "the template ends before an {{end}} (line 1, byte 12)");
    assert_eq!(refusal("{{ $x }}"), "undefined variable \"$x\" (line 1, byte 3)");
    assert_eq!(refusal("x{{ end }}"), "unexpected {{end}}: nothing is open here (line 1, byte 4)");
    assert_eq!(refusal("{{ }}"), "missing value for command (line 1, byte 3)");
    assert_eq!(refusal("{{ break }}"), "{{break}} outside {{range}} (line 1, byte 3)");
    assert_eq!(refusal("{{ \"a }}"), "unterminated quoted text (line 1, byte 3)");
    assert_eq!(
        refusal("{{ 1 | 2 }}"),
        "a value cannot be piped into this: it is no function (line 1, byte 7)"
    );
}

#[test]
fn an_unknown_function_is_told_its_nearest() {
    assert!(refusal("{{ tolower .a }}").contains("the nearest is \"ToLower\""));
    assert!(refusal("{{ regexReplaceAl .a }}").contains("\"regexReplaceAll\""));
    assert!(refusal("{{ TrimSpaces .a }}").contains("\"TrimSpace\""));
    assert!(!refusal("{{ somethingElseEntirely .a }}").contains("nearest"));
}

#[test]
fn functions_that_reach_out_are_refused_with_the_reason() {
    let refused = [
        ("env", "environment"),
        ("expandenv", "environment"),
        ("getHostByName", "network"),
        ("genPrivateKey", "key material"),
        ("derivePassword", "key material"),
        ("buildCustomCert", "key material"),
        ("genCA", "key material"),
        ("genCAWithKey", "key material"),
        ("genSelfSignedCert", "key material"),
        ("genSelfSignedCertWithKey", "key material"),
        ("genSignedCert", "key material"),
        ("genSignedCertWithKey", "key material"),
        ("encryptAES", "key material"),
        ("decryptAES", "key material"),
        ("bcrypt", "slow"),
        ("htpasswd", "slow"),
    ];
    for (name, reason) in refused {
        let said = refusal(&format!("{{{{ {name} \"x\" }}}}"));
        assert!(said.contains("is not offered") && said.contains(reason), "{said}");
    }
}

#[test]
fn every_function_promtail_documents_is_known() {
    for name in DOCUMENTED.split_whitespace() {
        let said = Template::parse(&format!("{{{{ {name} }}}}")).err().map(|error| error.to_string());
        assert!(said.as_ref().is_none_or(|said| said.contains("not offered")), "{name}: {said:?}");
    }
}

/// The functions of Go, of Promtail, and of Sprig.
const DOCUMENTED: &str = "and or not eq ne lt le gt ge len index slice print printf println html js urlquery call
    ToLower ToUpper Replace Trim TrimLeft TrimRight TrimPrefix TrimSuffix TrimSpace Hash Sha2Hash regexReplaceAll
    regexReplaceAllLiteral
    ago date date_in_zone dateInZone date_modify dateModify duration durationRound htmlDate htmlDateInZone
    must_date_modify mustDateModify mustToDate now toDate unixEpoch
    abbrev abbrevboth trunc trim upper lower title untitle substr repeat trimall trimAll trimSuffix trimPrefix nospace
    initials randAlphaNum randAlpha randAscii randNumeric randBytes randInt swapcase shuffle snakecase camelcase
    kebabcase wrap wrapWith contains hasPrefix hasSuffix quote squote cat indent nindent replace plural sha1sum
    sha256sum sha512sum adler32sum toString join sortAlpha split splitList splitn toStrings
    atoi int64 int float64 seq toDecimal until untilStep add1 add sub div mod mul add1f addf subf divf mulf biggest max
    min maxf minf ceil floor round
    default empty coalesce all any compact mustCompact fromJson toJson toPrettyJson toRawJson mustFromJson mustToJson
    mustToPrettyJson mustToRawJson ternary deepCopy mustDeepCopy
    typeOf typeIs typeIsLike kindOf kindIs deepEqual
    env expandenv getHostByName base dir clean ext isAbs osBase osClean osDir osExt osIsAbs
    b64enc b64dec b32enc b32dec
    tuple list dict get set unset hasKey pluck keys pick omit merge mergeOverwrite mustMerge mustMergeOverwrite values
    append push mustAppend mustPush prepend mustPrepend first mustFirst rest mustRest last mustLast initial mustInitial
    reverse mustReverse uniq mustUniq without mustWithout has mustHas slice mustSlice concat dig chunk mustChunk
    bcrypt htpasswd genPrivateKey derivePassword buildCustomCert genCA genCAWithKey genSelfSignedCert
    genSelfSignedCertWithKey genSignedCert genSignedCertWithKey encryptAES decryptAES
    uuidv4 semver semverCompare fail hello
    regexMatch regexFindAll regexFind regexSplit regexQuoteMeta mustRegexMatch mustRegexFindAll mustRegexFind
    mustRegexSplit mustRegexReplaceAll mustRegexReplaceAllLiteral
    urlParse urlJoin";
