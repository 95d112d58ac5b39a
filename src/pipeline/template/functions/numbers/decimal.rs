//! Decimal arithmetic for Sprig's float functions, so that 0.1 and 0.2 are 0.3.
//! In: floats.  Out: floats.  Owns: nothing.

/// Decimals after the point of a quotient.
const QUOTIENT_DIGITS: u32 = 16;

/// `mantissa · 10^exponent`, or a float where that outgrows 128 bits.
#[derive(Debug, Clone, Copy)]
pub(super) enum Decimal {
    Exact { mantissa: i128, exponent: i32 },
    Float(f64),
}

impl Decimal {
    /// The shortest decimal that reads as this float; infinities have none.
    pub(super) fn of(float: f64) -> Option<Decimal> {
        if !float.is_finite() {
            return None;
        }
        let written = format!("{float:e}");
        let (digits, exponent) = written.split_once('e')?;
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let mantissa = format!("{whole}{fraction}").parse().ok()?;
        let exponent = exponent.parse::<i32>().ok()? - i32::try_from(fraction.len()).ok()?;
        Some(Decimal::Exact { mantissa, exponent })
    }

    pub(super) fn to_float(self) -> f64 {
        match self {
            Decimal::Exact { mantissa, exponent } => format!("{mantissa}e{exponent}").parse().unwrap_or(0.0),
            Decimal::Float(float) => float,
        }
    }

    pub(super) fn plus(self, other: Decimal) -> Option<Decimal> {
        self.aligned(other, i128::checked_add).or_else(|| float(self.to_float() + other.to_float()))
    }

    pub(super) fn minus(self, other: Decimal) -> Option<Decimal> {
        self.aligned(other, i128::checked_sub).or_else(|| float(self.to_float() - other.to_float()))
    }

    pub(super) fn times(self, other: Decimal) -> Option<Decimal> {
        let exact = match (self, other) {
            (Decimal::Exact { mantissa, exponent }, Decimal::Exact { mantissa: by, exponent: shift }) => {
                mantissa
                    .checked_mul(by)
                    .map(|mantissa| Decimal::Exact { mantissa, exponent: exponent + shift })
            }
            _ => None,
        };
        exact.or_else(|| float(self.to_float() * other.to_float()))
    }

    /// Nothing divides by zero.
    pub(super) fn divided(self, other: Decimal) -> Option<Decimal> {
        if other.to_float() == 0.0 {
            return None;
        }
        self.exact_quotient(other).or_else(|| float(self.to_float() / other.to_float()))
    }

    /// Rounded half away from zero.
    fn exact_quotient(self, other: Decimal) -> Option<Decimal> {
        let Decimal::Exact { mantissa, exponent } = self else { return None };
        let Decimal::Exact { mantissa: by, exponent: shift } = other else { return None };
        let scale = exponent.checked_sub(shift)?.checked_add(QUOTIENT_DIGITS.cast_signed())?;
        let power = 10i128.checked_pow(scale.unsigned_abs())?;
        let (over, under) =
            if scale >= 0 { (mantissa.checked_mul(power)?, by) } else { (mantissa, by.checked_mul(power)?) };
        let quotient = over.checked_div(under)?;
        let remainder = over.checked_rem(under)?;
        let half = remainder.unsigned_abs().checked_mul(2)? >= under.unsigned_abs();
        let away = if (over < 0) == (under < 0) { 1 } else { -1 };
        let mantissa = if half { quotient.checked_add(away)? } else { quotient };
        Some(Decimal::Exact { mantissa, exponent: -QUOTIENT_DIGITS.cast_signed() })
    }

    fn aligned(self, other: Decimal, apply: fn(i128, i128) -> Option<i128>) -> Option<Decimal> {
        let Decimal::Exact { mantissa: one, exponent } = self else { return None };
        let Decimal::Exact { mantissa: two, exponent: shift } = other else { return None };
        let least = exponent.min(shift);
        let scaled = |mantissa: i128, exponent: i32| {
            mantissa.checked_mul(10i128.checked_pow((exponent - least).unsigned_abs())?)
        };
        let mantissa = apply(scaled(one, exponent)?, scaled(two, shift)?)?;
        Some(Decimal::Exact { mantissa, exponent: least })
    }
}

fn float(float: f64) -> Option<Decimal> {
    float.is_finite().then_some(Decimal::Float(float))
}
