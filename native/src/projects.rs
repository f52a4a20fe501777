//! Project names as small numbers.

use std::collections::HashMap;
use std::mem::size_of;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Below this many names, idle ones are not worth looking for.
const MIN_SWEEP: usize = 64;

/// A project that has, or had, tokens.
struct Project {
    name: Box<str>,
    /// Its claims. Changed under the lock of the shard of the token concerned,
    /// so a release cannot be counted before its claim.
    active: AtomicUsize,
}

/// The names in use and their numbers.
pub(crate) struct Projects {
    numbers: HashMap<Box<str>, u32>,
    places: Vec<Option<Project>>,
    vacant: Vec<u32>,
    sweep_at: usize,
}

impl Projects {
    pub(crate) fn new() -> Self {
        Self {
            numbers: HashMap::new(),
            places: Vec::new(),
            vacant: Vec::new(),
            sweep_at: MIN_SWEEP,
        }
    }

    pub(crate) fn number(&self, name: &str) -> Option<u32> {
        self.numbers.get(name).copied()
    }

    /// The number of a name, a new one if need be.
    ///
    /// `&mut self` says that no claim is under way anywhere, so that the
    /// numbers of projects without claims can be given to others.
    pub(crate) fn intern(&mut self, name: &str) -> u32 {
        if let Some(number) = self.number(name) {
            return number;
        }
        if self.numbers.len() >= self.sweep_at {
            self.sweep();
        }
        let project = Some(Project {
            name: name.into(),
            active: AtomicUsize::new(0),
        });
        let number = if let Some(number) = self.vacant.pop() {
            self.places[number as usize] = project;
            number
        } else {
            self.places.push(project);
            self.places.len() as u32 - 1
        };
        self.numbers.insert(name.into(), number);
        number
    }

    /// Forgets the projects without claims.
    fn sweep(&mut self) {
        for (number, place) in self.places.iter_mut().enumerate() {
            let idle = place.take_if(|project| *project.active.get_mut() == 0);
            if let Some(project) = idle {
                self.numbers.remove(&project.name);
                self.vacant.push(number as u32);
            }
        }
        // Twice what is left, so that sweeping costs each name a constant.
        self.sweep_at = MIN_SWEEP.max(2 * self.numbers.len());
    }

    pub(crate) fn add(&self, number: u32, claims: usize) {
        if let Some(project) = &self.places[number as usize] {
            project.active.fetch_add(claims, Ordering::Relaxed);
        }
    }

    pub(crate) fn subtract(&self, number: u32, claims: usize) {
        if let Some(project) = &self.places[number as usize] {
            project.active.fetch_sub(claims, Ordering::Relaxed);
        }
    }

    pub(crate) fn active(&self, number: u32) -> usize {
        self.places[number as usize]
            .as_ref()
            .map_or(0, |project| project.active.load(Ordering::Relaxed))
    }

    /// The projects that hold tokens, with their numbers of tokens, by name.
    pub(crate) fn list(&self) -> Vec<(String, usize)> {
        let mut list: Vec<(String, usize)> = self
            .places
            .iter()
            .flatten()
            .map(|project| {
                (
                    project.name.to_string(),
                    project.active.load(Ordering::Relaxed),
                )
            })
            .filter(|(_, active)| *active > 0)
            .collect();
        list.sort_unstable();
        list
    }

    pub(crate) fn total(&self) -> usize {
        self.places
            .iter()
            .flatten()
            .map(|project| project.active.load(Ordering::Relaxed))
            .sum()
    }

    pub(crate) fn bytes(&self) -> usize {
        // Each name is kept twice.
        let names: usize = self.numbers.keys().map(|name| 2 * name.len()).sum();
        names
            + self.places.capacity() * size_of::<Option<Project>>()
            + self.vacant.capacity() * size_of::<u32>()
            + self.numbers.capacity() * (size_of::<(Box<str>, u32)>() + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_without_claims_are_forgotten() {
        let mut projects = Projects::new();
        let kept = projects.intern("kept");
        projects.add(kept, 1);
        for i in 0..10_000 {
            projects.intern(&format!("passing-{i}"));
        }
        assert!(projects.numbers.len() <= 2 * MIN_SWEEP);
        assert_eq!(projects.number("kept"), Some(kept));
        assert_eq!(projects.list(), [("kept".to_owned(), 1)]);
    }
}
