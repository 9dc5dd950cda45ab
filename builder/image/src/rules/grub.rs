//! The PC's boot chain: BIOS to GRUB, UEFI to GRUB, GRUB's menu to a kernel.

use std::collections::BTreeSet;

use anyhow::Result;

use super::{Context, Findings, MAX_TEXT, system};
use crate::read::{EntryKind, Root, SECTOR};

/// Largest EFI binary that is read, in bytes; GRUB's are a few MB at most.
pub(crate) const MAX_EFI: u64 = 32 << 20;

/// Where the boot loaders that the tree made are kept in it.
const KEPT: &str = "/usr/lib/clic/boot";

const REBUILD: &str =
    "build the image again; if the problem stays, the image room writes the boot loader wrongly";

pub(crate) fn le(bytes: &[u8], at: usize, len: usize) -> Option<u64> {
    let part = bytes.get(at..at.checked_add(len)?)?;
    Some(
        part.iter()
            .rev()
            .fold(0, |value, byte| value << 8 | u64::from(*byte)),
    )
}

/// `boot.img` in sector 0, `core.img` in the BIOS boot partition. Offsets are GRUB 2.06's
/// (`include/grub/i386/pc/boot.h`, `include/grub/offsets.h`).
pub(super) fn bios(cx: &Context, out: &mut Findings) -> Result<()> {
    let Some(partition) = cx.partition("bios") else {
        out.add(
            "there is no BIOS boot partition",
            "give the board's disk a partition `bios`",
        );
        return Ok(());
    };
    let first = partition.entry.first_sector;
    let boot = cx.image.bytes().bytes(0, 512)?;
    let code = boot.get(..440).unwrap_or(&[]);
    if !code.windows(5).any(|part| part == b"GRUB ") {
        out.add("sector 0 has no GRUB boot code", REBUILD);
        return Ok(());
    }
    // A u64 at 0x5c: the sector that boot.img loads.
    let points = le(&boot, 0x5c, 8).unwrap_or(0);
    if points != first {
        out.add(
            format!("boot.img loads sector {points}, the BIOS boot partition begins at sector {first}"),
            REBUILD,
        );
    }
    // 0xff at 0x64: boot from the drive that the BIOS names. Two nops at 0x66: believe that drive number.
    if boot.get(0x64) != Some(&0xff) || boot.get(0x66..0x68) != Some(&[0x90, 0x90]) {
        out.add(
            "boot.img is not patched to boot from the drive that the BIOS names",
            REBUILD,
        );
    }
    let active = [446, 462, 478, 494].iter().any(|at| boot.get(*at) == Some(&0x80));
    if !active {
        out.add(
            "no entry of the MBR is active, which some BIOSes ask for",
            REBUILD,
        );
    }
    core(cx, first, &cx.image.window(partition).bytes(0, 8 << 20)?, out)
}

fn core(cx: &Context, first: u64, found: &[u8], out: &mut Findings) -> Result<()> {
    if found.iter().all(|byte| *byte == 0) {
        out.add("the BIOS boot partition is empty: core.img is missing", REBUILD);
        return Ok(());
    }
    let path = format!("{KEPT}/core.img");
    let Some(entry) = cx.root()?.stat_target(&path)? else {
        out.add(
            format!("{path} is missing, so core.img cannot be compared"),
            REBUILD,
        );
        return Ok(());
    };
    let mut kept = cx.root()?.read(&entry.path, found.len() as u64)?;
    let sectors = (kept.len() as u64).div_ceil(SECTOR);
    // The blocklist at the end of the first sector: u64 start, u16 sectors, u16 segment.
    let (start, len, segment) = (le(found, 500, 8), le(found, 508, 2), le(found, 510, 2));
    if start != Some(first + 1) {
        let start = start.unwrap_or(0);
        out.add(
            format!(
                "core.img's blocklist begins at sector {start}; expected: {}",
                first + 1
            ),
            REBUILD,
        );
    }
    if len != Some(sectors.saturating_sub(1)) || segment != Some(0x820) {
        out.add(
            format!(
                "core.img's blocklist is {} sectors to segment {:#x}; expected: {} to 0x820",
                len.unwrap_or(0),
                segment.unwrap_or(0),
                sectors.saturating_sub(1)
            ),
            REBUILD,
        );
    }
    // Only the blocklist may differ from what the tree's grub-mkimage made.
    let mut found = found.get(..kept.len()).unwrap_or(&[]).to_vec();
    for bytes in [&mut found, &mut kept] {
        if let Some(list) = bytes.get_mut(500..512) {
            list.fill(0);
        }
    }
    if found != kept {
        out.add(
            format!("core.img in the BIOS boot partition is not {path}"),
            REBUILD,
        );
    }
    Ok(())
}

/// PE machine types (PE format, "Machine Types").
const MACHINES: [(&str, &str, u64); 2] = [
    ("BOOTX64.EFI", "bootx64.efi", 0x8664),
    ("BOOTIA32.EFI", "bootia32.efi", 0x014c),
];

pub(super) fn uefi(cx: &Context, out: &mut Findings) -> Result<()> {
    let Some(partition) = cx.partition("esp").filter(|partition| partition.holds("fat")) else {
        out.add(
            "there is no EFI system partition",
            "give the board's disk a FAT partition `esp`",
        );
        return Ok(());
    };
    let fat = cx.image.fat(partition)?;
    for (name, kept, machine) in MACHINES {
        let path = format!("/EFI/BOOT/{name}");
        let place = format!("{}:{path}", partition.name);
        if fat.entry(&path)?.is_none_or(|entry| entry.directory) {
            out.add(format!("{place} is missing"), REBUILD);
            continue;
        }
        let bytes = fat.read(&path, MAX_EFI)?;
        match pe_machine(&bytes) {
            None => out.add(format!("{place} is not an EFI program"), REBUILD),
            Some(found) if found != machine => {
                out.add(
                    format!("{place} is for machine {found:#06x}; expected: {machine:#06x}"),
                    REBUILD,
                );
            }
            Some(_) => {
                let path = format!("{KEPT}/{kept}");
                if cx.root()?.exists(&path)? && cx.root()?.read(&path, MAX_EFI)? != bytes {
                    out.add(format!("{place} is not {path}"), REBUILD);
                }
            }
        }
    }
    Ok(())
}

/// The machine of an EFI application; `None` for anything else.
pub(crate) fn pe_machine(bytes: &[u8]) -> Option<u64> {
    let header = usize::try_from(le(bytes, 0x3c, 4)?).ok()?;
    let signature = bytes.get(header..header.checked_add(4)?)?;
    let subsystem = le(bytes, header.checked_add(24 + 68)?, 2)?;
    // Subsystem 10 is an EFI application.
    (bytes.starts_with(b"MZ") && signature == b"PE\0\0" && subsystem == 10)
        .then(|| le(bytes, header + 4, 2))
        .flatten()
}

pub(super) fn menu(cx: &Context, out: &mut Findings) -> Result<()> {
    let path = "/boot/grub/grub.cfg";
    let help = "build the image again; if an overlay brings this file, fix it there";
    let root = cx.root()?;
    let Some(entry) = root
        .stat_target(path)?
        .filter(|entry| entry.kind == EntryKind::File)
    else {
        out.add(format!("{path} is missing"), help);
        return Ok(());
    };
    let text = root.read(&entry.path, MAX_TEXT)?;
    let commands = match parse(&text) {
        Ok(commands) => commands,
        Err(why) => {
            out.add(format!("{path} is damaged: {why}"), help);
            return Ok(());
        }
    };
    let of = |names: &[&str]| -> Vec<&Command> {
        commands
            .iter()
            .filter(|command| {
                command
                    .words
                    .first()
                    .is_some_and(|word| names.contains(&word.as_str()))
            })
            .collect()
    };
    if of(&["menuentry"]).is_empty() {
        out.add(format!("{path} is damaged: it has no menuentry"), help);
        return Ok(());
    }
    let kernels = of(&["linux", "linux16", "linuxefi"]);
    if kernels.is_empty() {
        out.add(
            format!("{path} is damaged: it starts no kernel (no `linux` command)"),
            help,
        );
    }
    let mut told = BTreeSet::new();
    for command in kernels {
        if let Some(kernel) = command.words.get(1)
            && command.runs(root)?
            && told.insert(plain(kernel))
        {
            system::kernel(cx, path, &plain(kernel), out)?;
        }
    }
    let initrds = of(&["initrd", "initrd16", "initrdefi"]);
    if initrds.is_empty() {
        out.add(
            format!("{path} is damaged: it loads no initramfs (no `initrd` command)"),
            help,
        );
    }
    for command in initrds {
        for initrd in command.words.iter().skip(1) {
            if command.runs(root)? && told.insert(plain(initrd)) {
                initramfs(root, path, &plain(initrd), out)?;
            }
        }
    }
    Ok(())
}

fn initramfs(root: &Root, path: &str, initrd: &str, out: &mut Findings) -> Result<()> {
    let help = "let the kernel's package make it: update-initramfs -c -k all";
    match root.stat_target(initrd)? {
        None => out.add(format!("{path} loads {initrd}, which is missing"), help),
        Some(_) if !system::is_initramfs(&root.head(initrd, 8)?) => {
            out.add(format!("{path} loads {initrd}, which is not an initramfs"), help);
        }
        Some(_) => {}
    }
    Ok(())
}

/// A path without the device in front: `($root)/vmlinuz`.
pub(crate) fn plain(path: &str) -> String {
    match path.strip_prefix('(').and_then(|rest| rest.split_once(')')) {
        Some((_, path)) => path.to_owned(),
        None => path.to_owned(),
    }
}

/// A command of a GRUB script.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Command {
    pub words: Vec<String>,
    /// The conditions that it is under, each as words: `[ -e /vmlinuz.old ]`.
    under: Vec<Vec<String>>,
}

impl Command {
    /// Whether it may run: not when it is under a test for a file that is not there.
    pub fn runs(&self, root: &Root) -> Result<bool> {
        for condition in &self.under {
            let words: Vec<&str> = condition.iter().map(String::as_str).collect();
            if let ["[" | "test", "-e" | "-f" | "-s", path, ..] = words.as_slice()
                && !root.exists(plain(path))?
            {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Splits a GRUB script into commands: quotes, comments, braces and `if`/`fi` as far as telling a whole script from a
/// damaged one needs it. GRUB's own `grub-script-check` says no more.
#[derive(Default)]
struct Parser {
    commands: Vec<Command>,
    words: Vec<String>,
    word: Option<String>,
    line: usize,
    /// What is open: its first word, the line, and an `if`'s condition once it is read.
    open: Vec<(&'static str, usize, Option<Vec<String>>)>,
}

pub(crate) fn parse(text: &[u8]) -> Result<Vec<Command>, String> {
    let text = std::str::from_utf8(text).map_err(|_| "it is not text".to_owned())?;
    if text.contains('\0') {
        return Err("it has zero bytes in it".into());
    }
    let mut parser = Parser {
        line: 1,
        ..Parser::default()
    };
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\'' | '"' => parser.quoted(c, &mut chars)?,
            '\\' => match chars.next() {
                Some('\n') => parser.line += 1,
                other => parser.word.get_or_insert_default().extend(other),
            },
            '#' if parser.word.is_none() => while chars.next_if(|c| *c != '\n').is_some() {},
            '\n' | ';' | ' ' | '\t' | '\r' => {
                parser.end_word()?;
                if matches!(c, '\n' | ';') {
                    parser.end_command();
                }
                parser.line += usize::from(c == '\n');
            }
            other => parser.word.get_or_insert_default().push(other),
        }
    }
    parser.end_word()?;
    parser.end_command();
    match parser.open.pop() {
        Some((what, line, _)) => Err(format!("the `{what}` in line {line} has no end")),
        None => Ok(parser.commands),
    }
}

impl Parser {
    fn quoted(&mut self, quote: char, chars: &mut impl Iterator<Item = char>) -> Result<(), String> {
        let begun = self.line;
        let word = self.word.get_or_insert_default();
        loop {
            match chars.next() {
                None => return Err(format!("the quote in line {begun} has no end")),
                Some(end) if end == quote => return Ok(()),
                Some('\\') if quote == '"' => word.extend(chars.next()),
                Some(other) => {
                    self.line += usize::from(other == '\n');
                    word.push(other);
                }
            }
        }
    }

    fn end_word(&mut self) -> Result<(), String> {
        let Some(word) = self.word.take() else {
            return Ok(());
        };
        let first = self.words.is_empty();
        match word.as_str() {
            "{" => self.begin("{"),
            "}" => return self.end("{", "}"),
            "if" if first => self.begin("if"),
            "fi" if first => return self.end("if", "fi"),
            "do" if first => self.begin("do"),
            "done" if first => return self.end("do", "done"),
            // What follows is a command of its own.
            "then" | "else" if first => {}
            _ => self.words.push(word),
        }
        Ok(())
    }

    fn begin(&mut self, what: &'static str) {
        self.end_command();
        self.open.push((what, self.line, None));
    }

    fn end(&mut self, what: &str, end: &str) -> Result<(), String> {
        self.end_command();
        match self.open.pop() {
            Some((open, ..)) if open == what => Ok(()),
            _ => Err(format!("the `{end}` in line {} has no beginning", self.line)),
        }
    }

    fn end_command(&mut self) {
        let words = std::mem::take(&mut self.words);
        if words.is_empty() {
            return;
        }
        let under = self
            .open
            .iter()
            .filter_map(|(_, _, condition)| condition.clone())
            .collect();
        // The first command after `if` is its condition.
        if let Some(("if", _, condition @ None)) = self.open.last_mut() {
            *condition = Some(words.clone());
        }
        self.commands.push(Command { words, under });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_split_into_commands() {
        let text = b"# c\nset timeout=2\nif [ -e /old ]; then\n  echo 'a b'; fi\nmenuentry \"A {\" {\n  \
            linux ($root)/vmlinuz root=UUID=1 \\\n    ro\n  initrd /initrd.img\n}\n";
        let commands = parse(text).unwrap();
        let find = |name: &str| commands.iter().find(|command| command.words[0] == name).unwrap();
        assert_eq!(
            find("linux").words,
            ["linux", "($root)/vmlinuz", "root=UUID=1", "ro"]
        );
        assert_eq!(plain(&find("linux").words[1]), "/vmlinuz");
        assert!(find("linux").under.is_empty());
        assert_eq!(find("echo").words, ["echo", "a b"]);
        assert_eq!(find("echo").under, [["[", "-e", "/old", "]"]]);
        assert_eq!(find("menuentry").words, ["menuentry", "A {"]);
    }

    #[test]
    fn a_damaged_script_says_where() {
        for (text, why) in [
            (&b"menuentry 'x {\n}"[..], "the quote in line 1 has no end"),
            (b"\nmenuentry x {\nlinux /v\n", "the `{` in line 2 has no end"),
            (b"}\n", "the `}` in line 1 has no beginning"),
            (b"if true; then\necho\n", "the `if` in line 1 has no end"),
            (b"\xff\xfe", "it is not text"),
            (b"a\0b", "it has zero bytes in it"),
        ] {
            assert_eq!(parse(text).unwrap_err(), why);
        }
    }
}
