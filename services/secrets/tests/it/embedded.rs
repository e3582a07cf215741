//! The embedded store: what it keeps, who may read its files, what happens to them when they are
//! changed, and several writers at once.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use canonry_secrets::{Embedded, IDENTITY, STORE, Secret, SecretStore as _, limits};

use crate::support::{everything, place, reference, secret};

#[tokio::test]
async fn what_is_put_is_there_after_it_is_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("secrets");
    assert_eq!(Embedded::open(&folder, None).unwrap_err().code(), "secret-store-unknown");
    let store = Embedded::create(&folder, None).unwrap();
    assert_eq!(Embedded::create(&folder, None).unwrap_err().code(), "secret-store-exists");
    let (a, b) = (reference("secret://file/x/y#a"), reference("secret://file/x/y#b"));
    store.put(&a, &secret("one")).await.unwrap();
    store.put(&b, &Secret::new(vec![0, 255, 10]).unwrap()).await.unwrap();
    store.put(&a, &secret("two")).await.unwrap();
    store.put(&reference("secret://file/z#c"), &secret("three")).await.unwrap();

    let again = Embedded::open(&folder, None).unwrap();
    assert_eq!(again.get(&a).await.unwrap(), secret("two"));
    assert_eq!(again.get(&b).await.unwrap().expose(), [0, 255, 10]);
    assert_eq!(again.list(None).await.unwrap(), ["x/", "z"]);
    assert_eq!(again.list(Some(&place("secret://file/x"))).await.unwrap(), ["y"]);
    again.delete(&place("secret://file/x/y")).await.unwrap();
    assert_eq!(store.get(&a).await.unwrap_err().code(), "secret-unknown");
    assert_eq!(store.delete(a.place()).await.unwrap_err().code(), "secret-unknown");
    assert_eq!(store.lease(a.place()).await.unwrap_err().code(), "lease-unsupported");

    let mut names: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, [IDENTITY, STORE, "store.lock"], "nothing is left behind");
    for name in names {
        let mode = fs::metadata(folder.join(&name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{name}");
    }
}

#[tokio::test]
async fn a_passphrase_opens_and_a_wrong_one_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let phrase = secret("correct horse battery");
    assert_eq!(
        Embedded::create(dir.path(), Some(&secret("short"))).unwrap_err().code(),
        "secrets-misconfigured"
    );
    let store = Embedded::create(dir.path(), Some(&phrase)).unwrap();
    let at = reference("secret://file/x#a");
    store.put(&at, &secret("one")).await.unwrap();
    assert!(!dir.path().join(IDENTITY).exists());
    let again = Embedded::open(dir.path(), Some(&phrase)).unwrap();
    assert_eq!(again.get(&at).await.unwrap(), secret("one"));
    assert_eq!(Embedded::open(dir.path(), None).unwrap_err().code(), "secrets-misconfigured");
    let other = Embedded::open(dir.path(), Some(&secret("another long phrase"))).unwrap();
    let refused = other.get(&at).await.unwrap_err();
    assert_eq!(refused.code(), "secret-store-damaged");
    assert!(!everything(&refused).contains("another long"), "{refused:?}");
}

#[tokio::test]
async fn files_open_to_others_or_changed_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = Embedded::create(dir.path(), None).unwrap();
    let at = reference("secret://file/x#a");
    store.put(&at, &secret("one")).await.unwrap();
    for name in [IDENTITY, STORE] {
        let path = dir.path().join(name);
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let error = Embedded::open(dir.path(), None).unwrap_err();
        assert!(error.code() == "secret-store-file" && everything(&error).contains("0640"));
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    }
    let path = dir.path().join(STORE);
    let whole = fs::read(&path).unwrap();
    // Any byte, and any cut, is seen.
    for position in (0..whole.len()).step_by(37).chain([whole.len() - 1]) {
        let mut changed = whole.clone();
        changed[position] ^= 1;
        fs::write(&path, &changed).unwrap();
        let error = store.get(&at).await.unwrap_err();
        assert_eq!(error.code(), "secret-store-damaged", "byte {position}");
    }
    for length in [0, 1, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..length]).unwrap();
        assert_eq!(store.get(&at).await.unwrap_err().code(), "secret-store-damaged");
    }
    fs::write(&path, &whole).unwrap();
    assert_eq!(store.get(&at).await.unwrap(), secret("one"));
    // Sealed for somebody else.
    let other = tempfile::tempdir().unwrap();
    Embedded::create(other.path(), None).unwrap();
    fs::copy(other.path().join(STORE), &path).unwrap();
    assert_eq!(store.get(&at).await.unwrap_err().code(), "secret-store-damaged");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_wait_for_each_other_and_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    Embedded::create(dir.path(), None).unwrap();
    let writes = (0..16).map(|n| {
        // Each opens it anew, as another process does.
        let store = Embedded::open(dir.path(), None).unwrap();
        let put = async move {
            store.put(&reference(&format!("secret://file/x#f{n}")), &secret(&n.to_string())).await
        };
        tokio::spawn(put)
    });
    for write in writes.collect::<Vec<_>>() {
        write.await.unwrap().unwrap();
    }
    let store = Embedded::open(dir.path(), None).unwrap();
    for n in 0..16 {
        let at = reference(&format!("secret://file/x#f{n}"));
        assert_eq!(store.get(&at).await.unwrap(), secret(&n.to_string()));
    }
    // Who never gives the lock back is waited for no longer than the bound.
    let lock = File::open(dir.path().join("store.lock")).unwrap();
    lock.lock().unwrap();
    let busy = store.put(&reference("secret://file/x#f"), &secret("x")).await.unwrap_err();
    assert_eq!((busy.code(), busy.is_unavailable()), ("secret-store-busy", true));
}

#[tokio::test]
async fn every_bound_is_held() {
    let dir = tempfile::tempdir().unwrap();
    let store = Embedded::create(dir.path(), None).unwrap();
    for n in 0..limits::FIELDS {
        store.put(&reference(&format!("secret://file/x#f{n}")), &secret("v")).await.unwrap();
    }
    let more = store.put(&reference("secret://file/x#more"), &secret("v")).await.unwrap_err();
    assert_eq!(more.code(), "secret-store-full");
    let large = Secret::new(vec![b'v'; limits::VALUE_BYTES]).unwrap();
    let mut kept = 0;
    let full = loop {
        match store.put(&reference(&format!("secret://file/large/{kept}#f")), &large).await {
            Ok(()) => kept += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(full.code(), "secret-store-full");
    assert!((10..limits::STORE_BYTES / limits::VALUE_BYTES).contains(&kept), "{kept}");
    assert_eq!(store.get(&reference("secret://file/large/0#f")).await.unwrap(), large);
}
