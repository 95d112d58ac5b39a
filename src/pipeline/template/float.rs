//! Writes floats as Go's `strconv` does.
//! In: a float, one of Go's verbs, a precision.  Out: digits.  Owns: nothing.

/// No float has more digits after the point; the standard library takes no precision above 65535.
const DIGITS_LIMIT: usize = 1100;

/// `strconv.FormatFloat(float, verb, precision, 64)` for the verbs `e`, `E`, `f`, `g` and `G`; no precision means the
/// fewest digits that read back as the same number.
pub(super) fn format(float: f64, verb: char, precision: Option<usize>) -> String {
    if float.is_nan() {
        return "NaN".to_owned();
    }
    if float.is_infinite() {
        return if float > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let text = match verb.to_ascii_lowercase() {
        'f' => match precision {
            Some(digits) => {
                let shown = digits.min(DIGITS_LIMIT);
                format!("{float:.shown$}{}", "0".repeat(digits - shown))
            }
            None => format!("{float}"),
        },
        'e' => exponential(float, precision),
        _ => general(float, precision),
    };
    if verb.is_ascii_uppercase() { text.to_ascii_uppercase() } else { text }
}

fn exponential(float: f64, precision: Option<usize>) -> String {
    let shown = precision.unwrap_or(0).min(DIGITS_LIMIT);
    let written = match precision {
        Some(_) => format!("{float:.shown$e}"),
        None => format!("{float:e}"),
    };
    let zeros = "0".repeat(precision.unwrap_or(0) - shown);
    match written.split_once('e') {
        Some((mantissa, exponent)) => {
            with_exponent(&format!("{mantissa}{zeros}"), exponent.parse().unwrap_or(0))
        }
        None => written,
    }
}

/// Go writes at least two digits of exponent, and its sign.
fn with_exponent(mantissa: &str, exponent: i32) -> String {
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs())
}

/// `e` notation for exponents below -4 or from the precision on, without trailing zeros.
fn general(float: f64, precision: Option<usize>) -> String {
    let written = match precision {
        Some(digits) => format!("{float:.*e}", digits.clamp(1, DIGITS_LIMIT) - 1),
        None => format!("{float:e}"),
    };
    let Some((mantissa, exponent)) = written.split_once('e') else { return written };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let mantissa =
        if mantissa.contains('.') { mantissa.trim_end_matches('0').trim_end_matches('.') } else { mantissa };
    let digits = mantissa.bytes().filter(u8::is_ascii_digit).count();
    let threshold = match precision {
        None => 6,
        Some(wanted) => {
            let wanted = wanted.max(1);
            let point = usize::try_from(exponent + 1).unwrap_or(0);
            if wanted > digits && digits >= point { digits } else { wanted }
        }
    };
    if exponent < -4 || usize::try_from(exponent).is_ok_and(|exponent| exponent >= threshold) {
        return with_exponent(mantissa, exponent);
    }
    let after_point = digits.saturating_sub(usize::try_from(exponent + 1).unwrap_or(0));
    let after_point = if exponent < 0 { digits + exponent.unsigned_abs() as usize - 1 } else { after_point };
    format!("{float:.after_point$}")
}
