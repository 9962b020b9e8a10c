//! The tables of images: names, manifests, their blobs, and roots.

use std::path::PathBuf;

use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};

use super::StoreError;
use super::time::{parse, rfc3339};
use crate::images::catalog::{
    Catalog, CatalogError, ImageEntry, LayerEntry, ManifestEntry, RootEntry,
};

/// The tables that images add to the state.
pub const SCHEMA_SQL: &str = include_str!("images.sql");

/// How many archives are remembered.
const ARCHIVES_MAX: i64 = 256;

const COLUMNS: &str = "SELECT r.reference, r.pulled_at, m.digest, m.config, m.platform, m.bytes, \
     m.root, m.created_at, m.body FROM image_ref r JOIN manifest m ON m.digest = r.manifest";

impl Catalog for Connection {
    fn put_images(
        &mut self,
        images: &[ImageEntry],
        roots: &[RootEntry],
    ) -> Result<(), CatalogError> {
        let failed = failed(self, "write images down");
        let transaction = self.transaction().map_err(&failed)?;
        for root in roots {
            put_root(&transaction, root).map_err(&failed)?;
        }
        for image in images {
            put_image(&transaction, image).map_err(&failed)?;
        }
        transaction.commit().map_err(&failed)
    }

    fn find(&self, reference: &str) -> Result<Option<ImageEntry>, CatalogError> {
        let failed = failed(self, "find an image");
        let (condition, key) = match reference.split_once('@') {
            Some((_, digest)) => ("m.digest = ?1 ORDER BY r.reference LIMIT 1", digest),
            None => ("r.reference = ?1", reference),
        };
        let found = self
            .query_row(&format!("{COLUMNS} WHERE {condition}"), [key], image)
            .optional()
            .map_err(&failed)?;
        found.map(|image| with_layers(self, image)).transpose().map_err(failed)
    }

    fn has_layer(&self, blob: &str, diff_id: &str) -> Result<bool, CatalogError> {
        self.query_row(
            "SELECT EXISTS (SELECT 1 FROM manifest_blob WHERE blob = ?1 AND diff_id = ?2)",
            [blob, diff_id],
            |row| row.get(0),
        )
        .map_err(failed(self, "find a layer"))
    }

    fn list(&self) -> Result<Vec<ImageEntry>, CatalogError> {
        let read = || {
            let mut query = self.prepare(&format!("{COLUMNS} ORDER BY r.reference"))?;
            let images = query.query_map([], image)?.collect::<Result<Vec<_>, _>>()?;
            images.into_iter().map(|image| with_layers(self, image)).collect::<Result<Vec<_>, _>>()
        };
        read().map_err(failed(self, "list images"))
    }

    fn remember_archive(&mut self, identity: &str, held: &str) -> Result<(), CatalogError> {
        let failed = failed(self, "remember an archive");
        let transaction = self.transaction().map_err(&failed)?;
        transaction
            .execute(
                "INSERT OR REPLACE INTO archive (identity, held) VALUES (?1, ?2)",
                [identity, held],
            )
            .map_err(&failed)?;
        transaction
            .execute(
                "DELETE FROM archive WHERE id <= (SELECT max(id) FROM archive) - ?1",
                [ARCHIVES_MAX],
            )
            .map_err(&failed)?;
        transaction.commit().map_err(failed)
    }

    fn recall_archive(&self, identity: &str) -> Result<Option<String>, CatalogError> {
        self.query_row("SELECT held FROM archive WHERE identity = ?1", [identity], |row| row.get(0))
            .optional()
            .map_err(failed(self, "recall an archive"))
    }

    fn remove(&mut self, reference: &str) -> Result<bool, CatalogError> {
        let removed = self.execute("DELETE FROM image_ref WHERE reference = ?1", [reference]);
        removed.map(|count| count > 0).map_err(failed(self, "remove an image"))
    }

    fn manifests(&self) -> Result<Vec<ManifestEntry>, CatalogError> {
        manifests(self).map_err(failed(self, "list manifests"))
    }

    fn forget(&mut self, manifests: &[String]) -> Result<(), CatalogError> {
        let failed = failed(self, "forget images");
        let transaction = self.transaction().map_err(&failed)?;
        forget(&transaction, manifests).map_err(&failed)?;
        transaction.commit().map_err(failed)
    }
}

fn manifests(db: &Connection) -> rusqlite::Result<Vec<ManifestEntry>> {
    let mut query = db.prepare("SELECT digest, config, root FROM manifest ORDER BY digest")?;
    let entries = query.query_map([], |row| {
        let (digest, config, root) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(ManifestEntry { digest, config, root, layers: Vec::new(), references: Vec::new() })
    })?;
    let mut entries: Vec<ManifestEntry> = entries.collect::<Result<_, _>>()?;
    let mut layers =
        db.prepare("SELECT blob FROM manifest_blob WHERE manifest = ?1 ORDER BY position")?;
    let mut names =
        db.prepare("SELECT reference FROM image_ref WHERE manifest = ?1 ORDER BY reference")?;
    for entry in &mut entries {
        let (layers, names) = (
            layers.query_map([&entry.digest], |row| row.get(0))?,
            names.query_map([&entry.digest], |row| row.get(0))?,
        );
        entry.layers = layers.collect::<Result<_, _>>()?;
        entry.references = names.collect::<Result<_, _>>()?;
    }
    Ok(entries)
}

fn forget(transaction: &Transaction<'_>, manifests: &[String]) -> rusqlite::Result<()> {
    for digest in manifests {
        for sql in [
            "DELETE FROM image_ref WHERE manifest = ?1",
            "DELETE FROM manifest_blob WHERE manifest = ?1",
            "DELETE FROM manifest WHERE digest = ?1",
        ] {
            transaction.execute(sql, [digest])?;
        }
    }
    transaction
        .execute("DELETE FROM blob WHERE digest NOT IN (SELECT blob FROM manifest_blob)", [])?;
    transaction.execute("DELETE FROM root WHERE digest NOT IN (SELECT root FROM manifest)", [])?;
    Ok(())
}

fn failed(db: &Connection, what: &'static str) -> impl Fn(rusqlite::Error) -> CatalogError + use<> {
    let path = PathBuf::from(db.path().unwrap_or_default());
    move |error| {
        let source = StoreError::Query("read or write images", error).at(&path);
        CatalogError { what, source: Box::new(source) }
    }
}

/// SQLite counts to 2⁶³; nothing here is larger.
fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get(column).map(|bytes: i64| u64::try_from(bytes).unwrap_or(0))
}

fn put_root(transaction: &Transaction<'_>, root: &RootEntry) -> rusqlite::Result<usize> {
    transaction.execute(
        "INSERT OR REPLACE INTO root (digest, file, bytes_apparent, bytes_on_disk, writer, built_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            root.digest,
            root.file,
            signed(root.bytes_apparent),
            signed(root.bytes_on_disk),
            root.writer,
            rfc3339(root.built_at_ms)
        ],
    )
}

fn put_image(transaction: &Transaction<'_>, image: &ImageEntry) -> rusqlite::Result<()> {
    let body = serde_json::to_string(&image.config)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    let now = rfc3339(image.pulled_at_ms);
    transaction.execute(
        "INSERT OR REPLACE INTO manifest (digest, config, platform, bytes, root, created_at, body) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            image.manifest_digest,
            image.config_digest,
            image.platform,
            signed(image.bytes),
            image.root_digest,
            image.created_at,
            body
        ],
    )?;
    transaction
        .execute("DELETE FROM manifest_blob WHERE manifest = ?1", [&image.manifest_digest])?;
    for (position, layer) in (0_i64..).zip(&image.layers) {
        transaction.execute(
            "INSERT OR REPLACE INTO blob (digest, bytes, verified_at) VALUES (?1, ?2, ?3)",
            params![layer.blob, signed(layer.bytes), now],
        )?;
        transaction.execute(
            "INSERT INTO manifest_blob (manifest, position, blob, media_type, diff_id) \
             VALUES (?1, ?2, ?3, ?4, ?5)",
            params![image.manifest_digest, position, layer.blob, layer.media_type, layer.diff_id],
        )?;
    }
    transaction.execute(
        "INSERT OR REPLACE INTO image_ref (reference, manifest, pulled_at) VALUES (?1, ?2, ?3)",
        params![image.reference, image.manifest_digest, now],
    )?;
    Ok(())
}

/// Reads the columns of [`COLUMNS`]; layers come in a query of their own.
fn image(row: &Row<'_>) -> rusqlite::Result<ImageEntry> {
    let body: String = row.get(8)?;
    let pulled_at: String = row.get(1)?;
    let config = serde_json::from_str(&body).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(8, rusqlite::types::Type::Text, Box::new(error))
    })?;
    Ok(ImageEntry {
        reference: row.get(0)?,
        manifest_digest: row.get(2)?,
        config_digest: row.get(3)?,
        root_digest: row.get(6)?,
        platform: row.get(4)?,
        bytes: unsigned(row, 5)?,
        layers: Vec::new(),
        config,
        created_at: row.get(7)?,
        pulled_at_ms: parse(&pulled_at).unwrap_or(0),
    })
}

fn with_layers(db: &Connection, mut image: ImageEntry) -> rusqlite::Result<ImageEntry> {
    let mut query = db.prepare_cached(
        "SELECT mb.blob, mb.media_type, b.bytes, mb.diff_id FROM manifest_blob mb \
         JOIN blob b ON b.digest = mb.blob WHERE mb.manifest = ?1 ORDER BY mb.position",
    )?;
    let layers = query.query_map([&image.manifest_digest], |row| {
        Ok(LayerEntry {
            blob: row.get(0)?,
            media_type: row.get(1)?,
            bytes: unsigned(row, 2)?,
            diff_id: row.get(3)?,
        })
    })?;
    image.layers = layers.collect::<Result<_, _>>()?;
    Ok(image)
}

/// Returns an empty catalogue that a test throws away.
#[cfg(test)]
pub(crate) fn in_memory() -> Box<dyn Catalog> {
    let db = Connection::open_in_memory().unwrap();
    db.execute_batch(SCHEMA_SQL).unwrap();
    Box::new(db)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(reference: &str, manifest: &str) -> ImageEntry {
        let layer = |blob: &str| LayerEntry {
            blob: blob.into(),
            media_type: "application/vnd.oci.image.layer.v1.tar".into(),
            bytes: 5,
            diff_id: blob.into(),
        };
        ImageEntry {
            reference: reference.into(),
            manifest_digest: manifest.into(),
            config_digest: "sha256:c".into(),
            root_digest: "ab".into(),
            platform: "linux/amd64".into(),
            bytes: 12,
            layers: vec![layer("sha256:1"), layer("sha256:2")],
            config: image::config::ImageConfig::default(),
            created_at: None,
            pulled_at_ms: 1_700_000_000_123,
        }
    }

    #[test]
    fn a_name_moves_and_its_old_manifest_is_found_no_more() {
        let mut db = in_memory();
        let (old, new) = (
            image("docker.io/library/a:1", "sha256:m1"),
            image("docker.io/library/a:1", "sha256:m2"),
        );
        let root = RootEntry {
            digest: "ab".into(),
            file: "ab-1.erofs".into(),
            bytes_apparent: 4096,
            bytes_on_disk: 4096,
            writer: 1,
            built_at_ms: 1,
        };
        db.put_images(std::slice::from_ref(&old), std::slice::from_ref(&root)).unwrap();
        assert_eq!(db.find("docker.io/library/a:1").unwrap(), Some(old.clone()));
        assert_eq!(db.find("docker.io/library/x@sha256:m1").unwrap(), Some(old));
        db.put_images(std::slice::from_ref(&new), &[root]).unwrap();
        assert_eq!(db.list().unwrap(), [new]);
        assert_eq!(db.find("docker.io/library/x@sha256:m1").unwrap(), None);
        for n in 0..300 {
            db.remember_archive(&format!("file {n}"), "held").unwrap();
        }
        assert_eq!(db.recall_archive("file 299").unwrap().as_deref(), Some("held"));
        assert_eq!(db.recall_archive("file 1").unwrap(), None);
        assert!(db.remove("docker.io/library/a:1").unwrap());
        assert!(!db.remove("docker.io/library/a:1").unwrap());
    }
}
