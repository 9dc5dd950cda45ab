//! Every identifier that an image carries, made from the recipe's and board's names and the exact packages: the same inputs
//! give the same image. Images of one lock whose overlays differ share their identifiers.

use uuid::Uuid;

/// The namespace of all our identifiers: a random UUID drawn once for this project. Changing it changes every image.
const NAMESPACE: Uuid = Uuid::from_u128(0x0f9a_2c51_7d3e_4b86_9a41_c6d8_52e7_b013);

/// The identifiers of one image.
///
/// All are version 5 UUIDs (RFC 9562, section 5.5) or their first four bytes: `UUIDv5(UUIDv5(namespace, fingerprint), role)`,
/// where the role says what is named, e.g. `partition root`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ids {
    image: Uuid,
}

impl Ids {
    /// `fingerprint` is whatever is to tell images apart, e.g. the lock in its JSON form.
    pub fn derive(fingerprint: &[u8]) -> Self {
        Self {
            image: Uuid::new_v5(&NAMESPACE, fingerprint),
        }
    }

    fn uuid(&self, role: &str) -> Uuid {
        Uuid::new_v5(&self.image, role.as_bytes())
    }

    /// Four bytes for identifiers that are shorter than a UUID. Never 0, which several tools take for "none".
    fn short(&self, role: &str) -> u32 {
        let bytes = *self.uuid(role).as_bytes();
        u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]).max(1)
    }

    /// The GPT's disk GUID.
    pub fn disk_guid(&self) -> Uuid {
        self.uuid("disk")
    }

    /// The GUID of the partition called `name` in a GPT.
    pub fn partition_guid(&self, name: &str) -> Uuid {
        self.uuid(&format!("partition {name}"))
    }

    /// The UUID of the ext4 file system in the partition called `name`.
    pub fn fs_uuid(&self, name: &str) -> Uuid {
        self.uuid(&format!("filesystem {name}"))
    }

    /// What the directory hashes of that ext4 file system are seeded with.
    pub fn hash_seed(&self, name: &str) -> Uuid {
        self.uuid(&format!("hash-seed {name}"))
    }

    /// The volume id ("serial number") of the FAT file system in the partition called `name`.
    pub fn fat_volume_id(&self, name: &str) -> u32 {
        self.short(&format!("fat {name}"))
    }

    /// A FAT volume's id as Linux shows it and as `UUID=` in fstab takes it: `1A2B-3C4D`.
    pub fn fat_uuid(&self, name: &str) -> String {
        let id = self.fat_volume_id(name);
        format!("{:04X}-{:04X}", id >> 16, id & 0xffff)
    }

    /// The disk signature at byte 440 of an MBR. Linux makes `PARTUUID=<signature>-<number>` of it.
    pub fn mbr_signature(&self) -> u32 {
        self.short("mbr")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_depend_on_the_fingerprint_and_the_role_alone() {
        let a = Ids::derive(b"one");
        let b = Ids::derive(b"two");
        assert_eq!(a, Ids::derive(b"one"));
        // Pinned: a change here changes every image that anybody has ever built.
        assert_eq!(a.disk_guid().to_string(), "65e9bb34-085d-5a4a-b5d1-49a3b6918278");
        assert_eq!(a.fat_uuid("esp"), "A699-C96E");
        let all = |ids: Ids| {
            [
                ids.disk_guid(),
                ids.partition_guid("root"),
                ids.partition_guid("esp"),
                ids.fs_uuid("root"),
                ids.hash_seed("root"),
            ]
        };
        let both: std::collections::BTreeSet<Uuid> = all(a).into_iter().chain(all(b)).collect();
        assert_eq!(both.len(), 10, "no two are alike");
        assert!(both.iter().all(|id| id.get_version_num() == 5));
        assert_ne!(a.fat_volume_id("esp"), a.fat_volume_id("firmware"));
        assert_ne!(a.mbr_signature(), b.mbr_signature());
    }

    #[test]
    fn fat_uuids_look_as_linux_shows_them() {
        let text = Ids::derive(b"x").fat_uuid("esp");
        assert_eq!(text.len(), 9);
        assert!(text.bytes().enumerate().all(|(at, byte)| match at {
            4 => byte == b'-',
            _ => byte.is_ascii_digit() || (b'A'..=b'F').contains(&byte),
        }));
    }
}
