//! The report of a campaign: one page that needs no network, JUnit XML, what CIs show of it, the
//! line to paste, and what it adds to the history.

mod ci;
mod discovery;
mod history;
mod html;
mod junit;
mod page;
mod plot;

use super::outcome::Judged;
use super::small::{FOLDER, Kept, kept};
use super::{CiArgs, Problem, ask, show};
use history::Past;
use seedfall::save::save;
use std::fs;
use std::path::{Path, PathBuf};

/// What the report tells, beside what the campaign is judged by.
pub(super) struct Told<'a> {
    pub(super) judged: &'a Judged,
    /// Failures that were made small.
    pub(super) kept: Kept,
    /// This campaign and those before it, in the order of their beginning.
    pub(super) past: Vec<Past>,
    /// Machine seconds, over all attempts.
    pub(super) seconds: f64,
}

/// Writes everything; says where the page is.
pub(super) fn write(
    judged: &Judged,
    folders: &[PathBuf],
    out: &Path,
    ci: &CiArgs,
) -> Result<PathBuf, Problem> {
    collect(folders, out)?;
    let seconds = judged.states.iter().map(|(state, _)| state.seconds).sum();
    let now = Past::of(judged, seconds);
    let past = match &ci.history {
        Some(folder) => history::with(folder, &now)?,
        None => vec![now],
    };
    let told = Told { judged, kept: kept(&[out.to_owned()]), past, seconds };
    let page = out.join("index.html");
    save_text(&page, &page::page(&told))?;
    let junit = junit::xml(&told);
    save_text(&out.join("junit.xml"), &junit)?;
    if let Some(path) = &ci.junit {
        save_text(path, &junit)?;
    }
    save_text(&out.join("proof.md"), &format!("`{}`\n", judged.proof()))?;
    let summary = ci::summary(&told);
    save_text(&out.join("summary.md"), &summary)?;
    if let Some(path) = ask("GITHUB_STEP_SUMMARY") {
        append(Path::new(&path), &summary)?;
    }
    if ask("GITHUB_ACTIONS").is_some() {
        ci::annotations(&told).iter().for_each(|line| show::line(line));
    }
    Ok(page)
}

/// Puts cases and pages of other folders beside the report.
fn collect(folders: &[PathBuf], out: &Path) -> Result<(), Problem> {
    let to = out.join(FOLDER);
    for folder in folders {
        let from = folder.join(FOLDER);
        let same = from.canonicalize().ok() == to.canonicalize().ok();
        let Ok(entries) = fs::read_dir(&from) else { continue };
        if same {
            continue;
        }
        fs::create_dir_all(&to)?;
        for entry in entries {
            let entry = entry?;
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

fn save_text(path: &Path, text: &str) -> Result<(), Problem> {
    save(path, text.as_bytes()).map_err(|error| Problem(format!("{}: {error}", path.display())))
}

fn append(path: &Path, text: &str) -> Result<(), Problem> {
    use std::io::Write as _;
    let file = fs::OpenOptions::new().append(true).create(true).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| Problem(format!("{}: {error}", path.display())))
}
