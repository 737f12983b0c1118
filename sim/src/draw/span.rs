//! From a word to a span of time, in integers alone: no machine's floating point can move an event.

use crate::time::Duration;

/// `width * word / 2^32`.
#[inline]
pub const fn scale(width: u64, word: u32) -> Duration {
    Duration::nanos(((width as u128 * word as u128) >> 32) as u64)
}

/// The exponential distribution's inverse at `word / 2^32`, in integers alone.
///
/// `-ln(u) * mean = (32 - log2(word)) * ln 2 * mean`, the logarithm by table and linear
/// interpolation (error below 2^-17), so that no machine's floating point can move an event.
#[inline]
pub const fn exponential(mean: Duration, word: u32) -> Duration {
    let word = if word == 0 { 1 } else { word };
    let whole = 31 - word.leading_zeros();
    // The mantissa as 31 bits after the leading one: 8 choose the table row, 23 interpolate in it.
    let mantissa = ((word as u64) << (31 - whole)) & 0x7FFF_FFFF;
    let (row, rest) = ((mantissa >> 23) as usize, mantissa & 0x7F_FFFF);
    let (low, high) = (LOG2[row] as u64, LOG2[row + 1] as u64);
    let fraction = low + (((high - low) * rest) >> 23);
    let bits = (32 << 24) - (((whole as u64) << 24) + fraction);
    // ln 2 in 32-bit fixed point; `bits` is in 24-bit fixed point.
    let scaled = (bits as u128 * 2_977_044_472) >> 24;
    Duration::nanos(((mean.as_nanos() as u128 * scaled) >> 32) as u64)
}

/// `log2(1 + i / 256)` in 24-bit fixed point, computed at compile time by repeated squaring.
const LOG2: [u32; 257] = {
    let mut table = [0; 257];
    let mut row = 0;
    while row < 256 {
        let mut value: u64 = (256 + row as u64) << 22; // 1.xxx in 30-bit fixed point
        let mut bits = 0;
        let mut place = 0;
        while place < 24 {
            value = (value * value) >> 30;
            bits <<= 1;
            if value >= 2 << 30 {
                value >>= 1;
                bits |= 1;
            }
            place += 1;
        }
        table[row] = bits;
        row += 1;
    }
    table[256] = 1 << 24;
    table
};

#[cfg(test)]
mod tests {
    use super::exponential;
    use crate::time::Duration;

    #[test]
    fn the_exponential_is_close_to_the_real_one() {
        let mean = Duration::secs(1);
        for word in [1, 2, 3, 1_000, 0x7FFF_FFFF, 1 << 31, u32::MAX - 1, u32::MAX] {
            let exact = -(f64::from(word) / 4_294_967_296.0).ln();
            let ours = exponential(mean, word).as_secs_f64();
            assert!((exact - ours).abs() < 1e-5, "{word}: {exact} against {ours}");
        }
    }
}
