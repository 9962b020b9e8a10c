//! Target `load`: a whole archive of images, as `msb load` reads it, and the roots of what it holds.

use crate::alone;
use crate::layers;
use crate::pressed::mended;

/// Images of one archive whose roots are made, and how many layers such a one has.
const IMAGES_MAX: usize = 4;
const LAYERS_MAX: usize = 4;
/// Layers are looked at up to this size, so that one input stays small.
const LAYER_BYTES_MAX: usize = 1 << 20;

/// Reads `bytes` as they stand and with the checksums that they should have, and holds that the layers of
/// what is found make roots that say what the layers say.
pub(crate) fn check(bytes: &[u8]) {
    let mended = mended(bytes);
    let once = (mended != bytes).then_some(bytes);
    for archive in once.into_iter().chain([mended.as_slice()]) {
        let Ok(images) = alone::images(archive, &std::env::temp_dir()) else { continue };
        assert!(!images.is_empty(), "an archive of no images was read");
        let few = images.iter().filter(|image| image.layers.len() <= LAYERS_MAX);
        for image in few.take(IMAGES_MAX) {
            let layers = image.layers.iter().cloned();
            let small = layers.map(|layer| layer.filter(|layer| layer.len() <= LAYER_BYTES_MAX));
            drop(small.collect::<Option<Vec<_>>>().and_then(|layers| layers::rooted(&layers)));
        }
    }
}
