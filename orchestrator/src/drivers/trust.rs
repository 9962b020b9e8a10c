//! Whether a proof holds once a machine is to run on it.
//!
//! A proof is an empty guest. Until the first machine has come up under a driver, one that does not even
//! start speaks against the driver; from then on it speaks against itself.

use crate::drivers::{Contender, Driver, Drivers, LIKED, Proving, Verdict};

impl Drivers {
    /// Notes that a machine came up under a driver.
    pub fn bear_out(&self, driver: &Driver) {
        let Some(mut proof) = self.kept() else { return };
        if proof
            .verdicts
            .iter()
            .any(|verdict| verdict.ok && verdict.contender() == driver.contender())
            && !proof.borne_out.contains(&driver.contender())
        {
            proof.borne_out.push(driver.contender());
            self.write(&proof);
        }
    }

    /// Takes back the proof of a driver under which no machine has come up yet; returns the driver that is
    /// liked next and works.
    ///
    /// There is none where machines have come up under it.
    pub async fn distrust(&self, driver: &Driver, reason: &str) -> Option<Driver> {
        let proof = self.kept()?;
        if proof.borne_out.contains(&driver.contender()) {
            return None;
        }
        if let Some(held) =
            proof.verdicts.iter().find(|v| v.ok && v.contender() == driver.contender())
        {
            self.keep(&[Verdict {
                ok: false,
                stage: "start".to_owned(),
                reason: Some(format!(
                    "it was proved, and the first machine did not start: {reason}"
                )),
                hint: Some("Run `msb doctor` to prove it again.".to_owned()),
                ..held.clone()
            }]);
        }
        let worse = LIKED.into_iter().skip_while(|liked| *liked != driver.contender()).skip(1);
        for next in worse {
            if self.works(next).await {
                return self.driver(next);
            }
        }
        None
    }

    async fn works(&self, contender: Contender) -> bool {
        let is_it = |verdict: &&Verdict| verdict.contender() == contender;
        if let Some(known) = self.verdicts().iter().find(is_it) {
            return known.ok;
        }
        let proved = self.prove(Proving::Exactly(contender.0, contender.1)).await;
        proved.is_ok_and(|verdicts| verdicts.iter().find(is_it).is_some_and(|verdict| verdict.ok))
    }
}

impl Driver {
    const fn contender(&self) -> Contender {
        (self.name, self.accelerator)
    }
}
