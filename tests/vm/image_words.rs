//! What an image says of its command holds in a guest, and what the file says stands over it.

use std::time::Duration;

use tests::configured::configured;
use tests::home::Home;
use tests::run::eventually;

/// Tells who and where it is, and which signal asked it to end.
const TELL: &str = "id; pwd; echo $COLOUR $LEVEL; trap 'echo asked by INT; exit 0' INT; \
                    trap 'echo asked by TERM; exit 0' TERM; echo armed; \
                    while :; do sleep 0.1; done";

fn told(home: &Home, sandbox: &str, until: &str) -> String {
    eventually("it has told", Duration::from_secs(120), || {
        let text = home.msb(["logs", sandbox]).stdout;
        text.contains(until).then_some(text)
    })
}

#[test]
fn the_words_of_an_image_hold_in_a_guest_and_those_of_the_file_stand_over_them() {
    let home = Home::machine();
    let cmd = format!("--config.cmd={TELL}");
    let archive = configured(
        &home,
        "words",
        "extra:x:2000:app\n",
        &[
            "--config.entrypoint=/bin/sh",
            "--config.entrypoint=-c",
            &cmd,
            "--config.env=COLOUR=blue",
            "--config.env=LEVEL=image",
            "--config.workingdir=/var/log",
            "--config.user=app",
            "--config.stopsignal=SIGINT",
        ],
    );
    home.msb(["load", "-i", archive.to_str().unwrap(), "-t", "words:1"]).exits(0);
    home.write(
        "Sandboxfile",
        "project \"words\"
         sandbox \"image\" { image \"words:1\"; memory \"96MiB\" }
         sandbox \"file\" {
             image \"words:1\"; memory \"96MiB\"
             user \"1000:20\"; workdir \"/srv\"; env { COLOUR \"green\" }; stop-signal \"TERM\"
         }
         sandbox \"own\" {
             image \"words:1\"; memory \"96MiB\"; user \"root\"
             entrypoint \"/bin/sh\" \"-c\"; command \"id; echo its own words; sleep 1000\"
         }
         sandbox \"none\" {
             image \"words:1\"; memory \"96MiB\"; user \"1234\"
             entrypoint #null; command \"sh\" \"-c\" \"id; echo no entrypoint; sleep 1000\"
         }\n",
    );
    home.msb(["up"]).exits(0);
    let image = told(&home, "image", "armed");
    assert!(image.contains("uid=1000(app) gid=1000(app) groups=1000(app),2000(extra)"), "{image}");
    assert!(image.contains("/var/log\n") && image.contains("blue image\n"), "{image}");
    let file = told(&home, "file", "armed");
    assert!(file.contains("uid=1000(app) gid=20") && file.contains("2000(extra)"), "{file}");
    assert!(file.contains("/srv\n") && file.contains("green image\n"), "{file}");
    let own = told(&home, "own", "its own words");
    assert!(own.contains("uid=0(root) gid=0(root)") && !own.contains("armed"), "{own}");
    assert!(told(&home, "none", "no entrypoint").contains("uid=1234 gid=0(root)"));
    // A session is who the image says, too.
    let session = home.msb(["exec", "image", "--", "sh", "-c", "id -un; pwd; echo $LEVEL"]);
    assert_eq!(session.exits(0).stdout, "app\n/var/log\nimage\n");
    home.msb(["stop", "image", "file"]).exits(0);
    assert!(told(&home, "image", "asked by").contains("asked by INT"));
    assert!(told(&home, "file", "asked by").contains("asked by TERM"));
    home.msb(["down"]).exits(0);
}
