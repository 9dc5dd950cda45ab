use clic_host::Cmd;
use clic_recipe::plan::{Disk, Filesystem, Partition, PartitionSize};
use tempfile::NamedTempFile;

use super::*;

const MIB: u64 = 1 << 20;

fn layout(table: Table) -> Layout {
    let partition = |name: &str, fs, mebibytes| Partition {
        name: name.into(),
        fs,
        size: PartitionSize::Fixed(mebibytes * MIB),
        first_sector: None,
    };
    let partitions = match table {
        Table::Gpt => vec![
            partition("bios", Filesystem::BiosBoot, 1),
            partition("esp", Filesystem::Fat32, 64),
            partition("root", Filesystem::Ext4, 10),
        ],
        Table::Mbr => vec![
            partition("firmware", Filesystem::Fat32, 64),
            partition("root", Filesystem::Ext4, 10),
        ],
    };
    Layout::new(&Disk { table, partitions }, 0, None).unwrap()
}

fn written(table: Table, arch: Arch) -> NamedTempFile {
    let layout = layout(table);
    let image = NamedTempFile::new().unwrap();
    image.as_file().set_len(layout.bytes()).unwrap();
    let mut code = [0; BOOT_CODE];
    code[0] = 0xeb;
    write(&layout, &Ids::derive(b"table"), arch, &code, image.as_file()).unwrap();
    image
}

fn sfdisk(image: &NamedTempFile) -> serde_json::Value {
    let said = Cmd::new("sfdisk")
        .arg("-J")
        .arg(image.path())
        .clean_env()
        .output()
        .unwrap();
    serde_json::from_slice::<serde_json::Value>(&said).unwrap()["partitiontable"].take()
}

fn verify(image: &NamedTempFile) {
    let finished = Cmd::new("sfdisk")
        .arg("--verify")
        .arg(image.path())
        .clean_env()
        .finish()
        .unwrap();
    let said = String::from_utf8_lossy(&finished.stdout).into_owned() + &finished.stderr;
    assert!(finished.status.success() && said.contains("No errors"), "{said}");
}

#[test]
fn sfdisk_reads_the_gpt_that_was_written() {
    let image = written(Table::Gpt, Arch::Amd64);
    verify(&image);
    let ids = Ids::derive(b"table");
    let upper = |id: uuid::Uuid| id.to_string().to_uppercase();
    let table = sfdisk(&image);
    assert_eq!(table["label"], "gpt");
    assert_eq!(table["id"], upper(ids.disk_guid()));
    let rows: Vec<_> = table["partitions"].as_array().unwrap().iter().collect();
    let expected = [
        ("bios", 2048, 2048, "21686148-6449-6E6F-744E-656564454649"),
        ("esp", 4096, 131_072, "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"),
        ("root", 135_168, 20_480, "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709"),
    ];
    assert_eq!(rows.len(), expected.len());
    for (row, (name, start, size, kind)) in rows.into_iter().zip(expected) {
        assert_eq!(row["name"], name);
        assert_eq!(row["start"], start);
        assert_eq!(row["size"], size);
        assert_eq!(row["type"], kind);
        assert_eq!(row["uuid"], upper(ids.partition_guid(name)));
    }
}

#[test]
fn the_protective_mbr_is_active_and_keeps_the_boot_code() {
    let bytes = std::fs::read(written(Table::Gpt, Arch::Amd64).path()).unwrap();
    assert_eq!(bytes[0], 0xeb);
    assert_eq!(bytes[446..454], [0x80, 0, 2, 0, 0xee, 0xff, 0xff, 0xff]);
    assert_eq!(bytes[454..458], 1u32.to_le_bytes());
    assert_eq!(bytes[458..462], ((bytes.len() / 512 - 1) as u32).to_le_bytes());
    assert_eq!(bytes[462..510], [0; 48]);
    assert_eq!(bytes[510..512], [0x55, 0xaa]);
    assert_eq!(
        &bytes[bytes.len() - 512..][..8],
        b"EFI PART",
        "the backup is at the very end"
    );
}

#[test]
fn an_arm_root_has_its_own_type() {
    let table = sfdisk(&written(Table::Gpt, Arch::Arm64));
    assert_eq!(
        table["partitions"][2]["type"],
        "B921B045-1DF0-41C3-AF44-4C6F280D3FAE"
    );
}

#[test]
fn sfdisk_reads_the_mbr_that_was_written() {
    let image = written(Table::Mbr, Arch::Arm64);
    verify(&image);
    let table = sfdisk(&image);
    assert_eq!(table["label"], "dos");
    assert_eq!(
        table["id"],
        format!("{:#010x}", Ids::derive(b"table").mbr_signature())
    );
    let rows: Vec<_> = table["partitions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            (
                row["start"].as_u64().unwrap(),
                row["size"].as_u64().unwrap(),
                row["type"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(rows, [(2048, 131_072, "c"), (133_120, 20_480, "83")]);
    let bytes = std::fs::read(image.path()).unwrap();
    assert_eq!(
        (bytes[0], bytes[446], bytes[462]),
        (0xeb, 0, 0),
        "boot code, and no entry is active"
    );
}

#[test]
fn an_mbr_refuses_a_bios_boot_partition() {
    assert!(
        type_code(Filesystem::BiosBoot)
            .unwrap_err()
            .to_string()
            .contains("an MBR has no BIOS boot partition")
    );
}

#[test]
fn twice_the_same_bytes() {
    for table in [Table::Gpt, Table::Mbr] {
        let read = || std::fs::read(written(table, Arch::Amd64).path()).unwrap();
        assert!(read() == read());
    }
}
