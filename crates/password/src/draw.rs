//! Counting the passwords of a policy, and drawing one of them.

use std::collections::HashMap;

use coffre_ambient::{Entropy, EntropyFailed};
use coffre_secret::{Secret, SecretText};

/// Characters that count for the same rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    /// A bit for each rule that asks for characters.
    pub(crate) counts_for: u64,
    /// Sorted, each once; never empty.
    pub(crate) chars: Vec<char>,
}

/// All characters of a policy, what its rules ask for, and how many passwords there are.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Groups {
    /// By rule: how many characters must count for it.
    needs: Vec<usize>,
    groups: Vec<Group>,
    length: usize,
    /// For each state that can be reached: in how many ways it can be finished. The whole number would not fit a double
    /// (100 characters out of all of Unicode: 2^2000), so each is divided by the number of all texts of its length.
    ways: HashMap<State, f64>,
}

/// States that are counted for one policy.
const MAX_STATES: usize = 20_000;

/// What is still to be drawn: the groups from this one on, so many characters, so many of them for each rule.
type State = (usize, usize, Vec<usize>);

impl Groups {
    /// Counts the passwords of this length. `None` if there are none, or too many states on the way.
    pub(crate) fn counted(needs: Vec<usize>, groups: Vec<Group>, length: usize) -> Option<Self> {
        let mut counted = Self { needs, groups, length, ways: HashMap::new() };
        let all = counted.count(counted.start())?;
        (all > 0.0).then_some(counted)
    }

    pub(crate) const fn length(&self) -> usize {
        self.length
    }

    /// A password of this length.
    pub(crate) fn draw(&self, entropy: &dyn Entropy) -> Result<SecretText, EntropyFailed> {
        let mut drawn: Secret<Vec<char>> = Secret::new(Vec::with_capacity(self.length));
        let (_, mut left, mut needs) = self.start();
        for (at, group) in self.groups.iter().enumerate() {
            let ways = |n| self.ways.get(&self.after(at, left, &needs, n)).unwrap_or(&0.0);
            let weights = self.places(group, left).enumerate().map(|(n, places)| places * ways(n));
            let take = choose(&weights.collect::<Vec<f64>>(), entropy)?;
            for _ in 0..take {
                let pick = below(group.chars.len(), entropy)?;
                drawn.expose_mut().extend(group.chars.get(pick));
            }
            (_, left, needs) = self.after(at, left, &needs, take);
        }
        shuffle(drawn.expose_mut(), entropy)?;
        // EXPOSE: moved into the secret text that is the result; the room is exact, so that nothing is left behind.
        let chars = drawn.expose();
        let mut text = String::with_capacity(chars.iter().map(|c| c.len_utf8()).sum());
        text.extend(chars);
        Ok(SecretText::new(text))
    }

    fn start(&self) -> State {
        (0, self.length, self.needs.clone())
    }

    fn count(&mut self, state: State) -> Option<f64> {
        if let Some(known) = self.ways.get(&state) {
            return Some(*known);
        }
        if self.ways.len() >= MAX_STATES {
            return None;
        }
        let (at, left, needs) = &state;
        let total = match self.groups.get(*at) {
            None if *left == 0 && needs.iter().all(|need| *need == 0) => 1.0,
            None => 0.0,
            Some(_) if self.is_lost(*at, *left, needs) => 0.0,
            Some(group) => {
                let places: Vec<f64> = self.places(group, *left).collect();
                let mut total = 0.0;
                for (n, places) in places.into_iter().enumerate() {
                    total += places * self.count(self.after(*at, *left, needs, n))?;
                }
                total
            }
        };
        self.ways.insert(state, total);
        Some(total)
    }

    /// Whether some rule cannot be satisfied any more.
    fn is_lost(&self, at: usize, left: usize, needs: &[usize]) -> bool {
        let later = self.groups.iter().skip(at).fold(0, |mask, group| mask | group.counts_for);
        needs.iter().enumerate().any(|(rule, need)| *need > left || (*need > 0 && later & (1 << rule) == 0))
    }

    /// The state after this group gave `n` characters.
    fn after(&self, at: usize, left: usize, needs: &[usize], n: usize) -> State {
        let counts_for = self.groups.get(at).map_or(0, |group| group.counts_for);
        let still = |(rule, need): (usize, &usize)| {
            if counts_for & (1 << rule) == 0 { *need } else { need.saturating_sub(n) }
        };
        (at + 1, left - n, needs.iter().enumerate().map(still).collect())
    }

    /// For 0, 1, … `left`: how likely it is that so many of `left` places, each drawn from the whole alphabet, are this
    /// group's; without the factor for the other places, which their own groups bring.
    #[expect(clippy::cast_precision_loss, reason = "numbers below 2^21: at most all of Unicode")]
    fn places(&self, group: &Group, left: usize) -> impl Iterator<Item = f64> + use<> {
        let alphabet: usize = self.groups.iter().map(|group| group.chars.len()).sum();
        let share = group.chars.len() as f64 / alphabet as f64;
        let mut places = 1.0;
        (0..=left).map(move |n| {
            let now = places;
            places *= share * (left - n) as f64 / (n + 1) as f64;
            now
        })
    }
}

/// One of the weights' numbers, each by its weight.
#[expect(clippy::cast_precision_loss, reason = "53 bits, which a double holds")]
fn choose(weights: &[f64], entropy: &dyn Entropy) -> Result<usize, EntropyFailed> {
    let bits = random(entropy)? >> 11;
    let mut at = bits as f64 / (1_u64 << 53) as f64 * weights.iter().sum::<f64>();
    for (n, weight) in weights.iter().enumerate() {
        if at < *weight {
            return Ok(n);
        }
        at -= weight;
    }
    // Rounding carried beyond the end: the last that is possible.
    Ok(weights.iter().rposition(|weight| *weight > 0.0).unwrap_or_default())
}

/// Every order as likely as any other (Fisher and Yates).
fn shuffle(chars: &mut [char], entropy: &dyn Entropy) -> Result<(), EntropyFailed> {
    for at in (1..chars.len()).rev() {
        chars.swap(at, below(at + 1, entropy)?);
    }
    Ok(())
}

/// A number below `bound`, without favour: 64 random bits, scaled (D. Lemire, "Fast random integer generation in an
/// interval", 2019). The remainder that would favour some numbers is drawn again, which happens once in 2^57 draws.
fn below(bound: usize, entropy: &dyn Entropy) -> Result<usize, EntropyFailed> {
    let bound = bound as u64;
    let unfair = bound.wrapping_neg().checked_rem(bound).unwrap_or(0);
    loop {
        let wide = u128::from(random(entropy)?) * u128::from(bound);
        let low = wide & u128::from(u64::MAX);
        if low >= u128::from(unfair) {
            return Ok(usize::try_from(wide >> 64).unwrap_or(0));
        }
    }
}

fn random(entropy: &dyn Entropy) -> Result<u64, EntropyFailed> {
    let mut bytes = [0_u8; 8];
    entropy.fill(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use crate::PasswordPolicy;
    use coffre_ambient::SeededEntropy;

    /// Draws `draws` passwords and compares with "each of these is as likely as any other".
    /// Panics if that is less likely than one in a million.
    fn assert_even(policy: &str, alphabet: &str, valid: impl Fn(&str) -> bool, draws: u32) {
        let policy = PasswordPolicy::parse(policy).unwrap();
        let mut all = vec![String::new()];
        for _ in 0..policy.length() {
            all = all.iter().flat_map(|text| alphabet.chars().map(move |c| format!("{text}{c}"))).collect();
        }
        let mut counts: HashMap<String, u32> =
            all.into_iter().filter(|text| valid(text)).map(|text| (text, 0)).collect();
        let entropy = SeededEntropy::new(42);
        for _ in 0..draws {
            let password = policy.generate(&entropy).unwrap();
            *counts.get_mut(password.expose()).expect("a password outside the policy") += 1;
        }
        let freedom = f64::from(u32::try_from(counts.len()).unwrap() - 1);
        let expected = f64::from(draws) / (freedom + 1.0);
        let chi2: f64 = counts.values().map(|n| (f64::from(*n) - expected).powi(2) / expected).sum();
        // Wilson and Hilferty's approximation: the cube root is nearly normal; 4.75 deviations are one in a million.
        let spread = 2.0 / (9.0 * freedom);
        let deviation = ((chi2 / freedom).cbrt() - (1.0 - spread)) / spread.sqrt();
        assert!(
            deviation.abs() < 4.75,
            "chi squared {chi2}, {freedom} degrees of freedom, {deviation} deviations"
        );
    }

    fn count(text: &str, of: &str) -> usize {
        text.chars().filter(|c| of.contains(*c)).count()
    }

    #[test]
    fn each_password_is_as_likely_as_any_other() {
        let apart = "length = 4 rule \"charset\" { charset = \"abc\" min-chars = 1 } rule \"charset\" { charset = \"12\" min-chars = 2 }";
        assert_even(apart, "abc12", |text| count(text, "abc") >= 1 && count(text, "12") >= 2, 60_000);
        let over = "length = 5 rule \"charset\" { charset = \"abc\" min-chars = 2 } rule \"charset\" { charset = \"cd\" min-chars = 2 } rule \"charset\" { charset = \"e\" }";
        assert_even(over, "abcde", |text| count(text, "abc") >= 2 && count(text, "cd") >= 2, 120_000);
        assert_even("length = 4 rule \"charset\" { charset = \"abcdef\" }", "abcdef", |_| true, 60_000);
    }

    #[test]
    fn every_character_comes_equally_often() {
        let policy = PasswordPolicy::parse(
            "length = 100 rule \"charset\" { charset = \"abcdefghijklmnopqrstuvwxyz0123456789\" }",
        )
        .unwrap();
        let mut counts: HashMap<char, i64> = HashMap::new();
        let entropy = SeededEntropy::new(7);
        for _ in 0..360 {
            policy
                .generate(&entropy)
                .unwrap()
                .expose()
                .chars()
                .for_each(|c| *counts.entry(c).or_default() += 1);
        }
        let chi2: i64 = counts.values().map(|n| (n - 1_000).pow(2)).sum::<i64>() / 1_000;
        assert!(counts.len() == 36 && chi2 < 85, "chi squared {chi2} with 35 degrees of freedom");
    }
}
