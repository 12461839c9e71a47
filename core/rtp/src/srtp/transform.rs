//! One session key at work: encryption, authentication, initialisation vectors. Nothing here knows streams.

use aes::cipher::{InnerIvInit as _, KeyInit, StreamCipher as _, StreamCipherCoreWrapper};
use aes::{Aes128Enc, Aes256Enc};
use hmac::{Hmac, Mac as _};
use ring::aead::{self, LessSafeKey, UnboundKey};
use sha1::Sha1;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::suite::{Master, Suite};
use super::wiped::Wiped;
use crate::numbers::Ssrc;

/// Session keys of one direction, for media or for control.
pub(super) struct Transform {
    cipher: Wiped<Cipher>,
    salt: Zeroizing<[u8; 14]>,
}

#[expect(clippy::large_enum_variant, reason = "it lies on the heap, once for each key")]
enum Cipher {
    Cm { aes: Aes, auth: Hmac<Sha1> },
    Gcm(LessSafeKey),
}

#[expect(clippy::large_enum_variant, reason = "it lies on the heap, once for each key")]
enum Aes {
    Of128(Aes128Enc),
    Of256(Aes256Enc),
}

/// Media or control: they have keys of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    Rtp,
    Rtcp,
}

/// The authentication tag is not the one of these bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Forged;

impl Transform {
    /// Derives the session keys (RFC 3711 §4.3; the key derivation rate is zero).
    pub(super) fn derive(master: &Master, used: Use) -> Self {
        let label = match used {
            Use::Rtp => 0,
            Use::Rtcp => 3,
        };
        let aes = Aes::new(master.key());
        let (mut key, mut auth, mut salt) = (Zeroizing::new([0; 32]), Zeroizing::new([0; 20]), Zeroizing::new([0; 14]));
        let length = master.suite.key_length();
        let key = key.get_mut(..length).unwrap_or_default();
        aes.derive(&master.salt, label, key);
        aes.derive(&master.salt, label + 1, auth.as_mut_slice());
        aes.derive(&master.salt, label + 2, salt.get_mut(..master.suite.salt_length()).unwrap_or_default());
        Self::of_session(master.suite, key, &auth, salt)
    }

    fn of_session(suite: Suite, key: &[u8], auth: &[u8; 20], salt: Zeroizing<[u8; 14]>) -> Self {
        let gcm = |algorithm| {
            let unbound = UnboundKey::new(algorithm, key).expect("the suite says how long its key is");
            Cipher::Gcm(LessSafeKey::new(unbound))
        };
        let cipher = match suite {
            Suite::AeadAes128Gcm => gcm(&aead::AES_128_GCM),
            Suite::AeadAes256Gcm => gcm(&aead::AES_256_GCM),
            Suite::Aes128CmSha1_80 | Suite::Aes128CmSha1_32 | Suite::Aes256CmSha1_80 | Suite::Aes256CmSha1_32 => {
                let auth = <Hmac<Sha1> as KeyInit>::new_from_slice(auth).expect("an HMAC takes keys of any length");
                Cipher::Cm { aes: Aes::new(key), auth }
            }
        };
        Self { cipher: Wiped::new(cipher), salt }
    }

    /// Encrypts a media packet behind its header and writes the tag behind it.
    pub(super) fn seal_rtp(&self, packet: &mut [u8], parts: Parts, at: At) -> Option<()> {
        let Parts { head, end, tag } = parts;
        match &*self.cipher {
            Cipher::Cm { aes, auth } => {
                aes.apply(&self.iv_cm(at), packet.get_mut(head..end)?);
                let made = mac(auth, &[packet.get(..end)?, &at.rollover()]);
                packet.get_mut(end..end + tag)?.copy_from_slice(made.get(..tag)?);
            }
            Cipher::Gcm(key) => {
                let (header, rest) = packet.split_at_mut_checked(head)?;
                let made = key.seal_in_place_separate_tag(
                    self.nonce(at),
                    aead::Aad::from(&*header),
                    rest.get_mut(..end - head)?,
                );
                rest.get_mut(end - head..end - head + tag)?.copy_from_slice(made.ok()?.as_ref());
            }
        }
        Some(())
    }

    /// Authenticates and decrypts a media packet; its plaintext ends where the tag began.
    pub(super) fn open_rtp(&self, packet: &mut [u8], parts: Parts, at: At) -> Result<(), Forged> {
        let Parts { head, end, tag } = parts;
        match &*self.cipher {
            Cipher::Cm { aes, auth } => {
                let (text, told) = packet.split_at_mut_checked(end).ok_or(Forged)?;
                verify(auth, &[text, &at.rollover()], told.get(..tag).ok_or(Forged)?)?;
                aes.apply(&self.iv_cm(at), text.get_mut(head..).ok_or(Forged)?);
            }
            Cipher::Gcm(key) => {
                let (header, rest) = packet.split_at_mut_checked(head).ok_or(Forged)?;
                let sealed = rest.get_mut(..end - head + tag).ok_or(Forged)?;
                key.open_in_place(self.nonce(at), aead::Aad::from(&*header), sealed).map_err(|_| Forged)?;
            }
        }
        Ok(())
    }

    /// Encrypts a control packet behind its first eight bytes and writes index and tag behind it.
    pub(super) fn seal_rtcp(&self, packet: &mut [u8], end: usize, at: At) -> Option<()> {
        let word = at.control_word();
        match &*self.cipher {
            Cipher::Cm { aes, auth } => {
                aes.apply(&self.iv_cm(at), packet.get_mut(RTCP_HEAD..end)?);
                *packet.get_mut(end..)?.first_chunk_mut()? = word;
                let made = mac(auth, &[packet.get(..end + WORD)?]);
                packet.get_mut(end + WORD..end + WORD + SHA1_80)?.copy_from_slice(made.get(..SHA1_80)?);
            }
            Cipher::Gcm(key) => {
                let (header, rest) = packet.split_first_chunk_mut::<RTCP_HEAD>()?;
                let (text, behind) = rest.split_at_mut_checked(end - RTCP_HEAD)?;
                let aad = aead::Aad::from(control_aad(*header, word));
                let made = key.seal_in_place_separate_tag(self.nonce(at), aad, text).ok()?;
                behind.get_mut(..GCM_TAG)?.copy_from_slice(made.as_ref());
                *behind.get_mut(GCM_TAG..)?.first_chunk_mut()? = word;
            }
        }
        Some(())
    }

    /// Authenticates a control packet and decrypts it if it is encrypted; says where it ends.
    pub(super) fn open_rtcp(&self, packet: &mut [u8], at: At, encrypted: bool) -> Result<usize, Forged> {
        let word = if encrypted { at.control_word() } else { at.plain_control_word() };
        match &*self.cipher {
            Cipher::Cm { aes, auth } => {
                let behind = packet.len().checked_sub(SHA1_80).ok_or(Forged)?;
                let (text, told) = packet.split_at_mut_checked(behind).ok_or(Forged)?;
                verify(auth, &[text], told)?;
                let end = behind.checked_sub(WORD).ok_or(Forged)?;
                if encrypted {
                    aes.apply(&self.iv_cm(at), text.get_mut(RTCP_HEAD..end).ok_or(Forged)?);
                }
                Ok(end)
            }
            Cipher::Gcm(key) => {
                let end = packet.len().checked_sub(GCM_TAG + WORD).ok_or(Forged)?;
                if encrypted {
                    let (header, rest) = packet.split_first_chunk_mut::<RTCP_HEAD>().ok_or(Forged)?;
                    let sealed = rest.get_mut(..end.saturating_sub(RTCP_HEAD) + GCM_TAG).ok_or(Forged)?;
                    let aad = aead::Aad::from(control_aad(*header, word));
                    key.open_in_place(self.nonce(at), aad, sealed).map_err(|_| Forged)?;
                } else {
                    // RFC 7714 §9.3: everything is associated data, and the index follows the packet there.
                    let (text, tag) = packet.split_at_mut_checked(end).ok_or(Forged)?;
                    let mut told = *tag.first_chunk::<GCM_TAG>().ok_or(Forged)?;
                    *tag.first_chunk_mut().ok_or(Forged)? = word;
                    let data = text.len() + WORD;
                    let aad = aead::Aad::from(packet.get(..data).ok_or(Forged)?);
                    key.open_in_place(self.nonce(at), aad, &mut told).map_err(|_| Forged)?;
                }
                Ok(end)
            }
        }
    }

    /// RFC 3711 §4.1.1: the salt, the SSRC, and the index.
    fn iv_cm(&self, at: At) -> [u8; 16] {
        let [s0, s1, s2, s3] = at.ssrc.0.to_be_bytes();
        let [_, _, i0, i1, i2, i3, i4, i5] = at.index.to_be_bytes();
        let mut iv = [0, 0, 0, 0, s0, s1, s2, s3, i0, i1, i2, i3, i4, i5, 0, 0];
        iv.iter_mut().zip(self.salt.iter()).for_each(|(byte, salt)| *byte ^= salt);
        iv
    }

    /// RFC 7714 §8.1 and §9.1: the same two bytes earlier.
    fn nonce(&self, at: At) -> aead::Nonce {
        let [s0, s1, s2, s3] = at.ssrc.0.to_be_bytes();
        let [_, _, i0, i1, i2, i3, i4, i5] = at.index.to_be_bytes();
        let mut iv = [0, 0, s0, s1, s2, s3, i0, i1, i2, i3, i4, i5];
        iv.iter_mut().zip(self.salt.iter()).for_each(|(byte, salt)| *byte ^= salt);
        aead::Nonce::assume_unique_for_key(iv)
    }
}

/// Where a packet stands in its stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct At {
    pub(super) ssrc: Ssrc,
    /// 48 bits for media, 31 for control.
    pub(super) index: u64,
}

impl At {
    fn rollover(self) -> [u8; 4] {
        let [_, _, r0, r1, r2, r3, _, _] = self.index.to_be_bytes();
        [r0, r1, r2, r3]
    }

    /// The index with the bit that says: encrypted.
    fn control_word(self) -> [u8; 4] {
        let [first, rest @ ..] = self.plain_control_word();
        let [a, b, c] = rest;
        [first | 0x80, a, b, c]
    }

    fn plain_control_word(self) -> [u8; 4] {
        let [_, _, _, _, word @ ..] = self.index.to_be_bytes();
        word
    }
}

/// Where the parts of a media packet lie.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parts {
    /// Size of the header with its extension.
    pub(super) head: usize,
    /// Where the payload ends and the tag begins.
    pub(super) end: usize,
    /// Bytes of the tag.
    pub(super) tag: usize,
}

fn control_aad([a, b, c, d, e, f, g, h]: [u8; RTCP_HEAD], [i, j, k, l]: [u8; 4]) -> [u8; RTCP_HEAD + WORD] {
    [a, b, c, d, e, f, g, h, i, j, k, l]
}

fn mac(auth: &Hmac<Sha1>, parts: &[&[u8]]) -> [u8; 20] {
    let mut mac = auth.clone();
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

fn verify(auth: &Hmac<Sha1>, parts: &[&[u8]], told: &[u8]) -> Result<(), Forged> {
    let made = mac(auth, parts);
    let made = made.get(..told.len()).ok_or(Forged)?;
    if bool::from(made.ct_eq(told)) { Ok(()) } else { Err(Forged) }
}

impl Aes {
    /// Of 16 or 32 bytes.
    fn new(key: &[u8]) -> Self {
        match <&[u8; 16]>::try_from(key) {
            Ok(key) => Self::Of128(Aes128Enc::new(key.into())),
            Err(_) => Self::Of256(Aes256Enc::new_from_slice(key).expect("the suite says how long its key is")),
        }
    }

    /// Counter mode: adds the key stream.
    fn apply(&self, iv: &[u8; 16], bytes: &mut [u8]) {
        match self {
            Self::Of128(aes) => {
                StreamCipherCoreWrapper::from_core(Ctr::inner_iv_init(aes, iv.into())).apply_keystream(bytes)
            }
            Self::Of256(aes) => {
                StreamCipherCoreWrapper::from_core(Ctr::inner_iv_init(aes, iv.into())).apply_keystream(bytes)
            }
        }
    }

    /// RFC 3711 §4.3.1 and §4.3.3: the key stream at the salt with the label in its eighth byte.
    fn derive(&self, salt: &[u8; 14], label: u8, out: &mut [u8]) {
        let mut iv = [0; 16];
        iv.iter_mut().zip(salt).for_each(|(byte, salt)| *byte = *salt);
        iv[7] ^= label;
        out.fill(0);
        self.apply(&iv, out);
    }
}

/// The counter is the last 16 bits of the block; it never reaches the bits above, as no packet is so long.
type Ctr<'k, C> = ctr::CtrCore<&'k C, ctr::flavors::Ctr128BE>;

/// Version, type, length and SSRC stay readable.
pub(super) const RTCP_HEAD: usize = 8;
/// The bit that says "encrypted", and the index.
pub(super) const WORD: usize = 4;
const SHA1_80: usize = 10;
const GCM_TAG: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
    }

    /// RFC 3711 §B.2.
    #[test]
    fn the_key_stream_of_counter_mode() {
        let aes = Aes::new(&hex("2B7E151628AED2A6ABF7158809CF4F3C"));
        let iv: [u8; 16] = hex("F0F1F2F3F4F5F6F7F8F9FAFBFCFD0000").try_into().unwrap();
        let mut stream = vec![0; 0xff02 * 16];
        aes.apply(&iv, &mut stream);
        let block = |index: usize| &stream[index * 16..index * 16 + 16];
        assert_eq!(block(0), hex("E03EAD0935C95E80E166B16DD92B4EB4"));
        assert_eq!(block(1), hex("D23513162B02D0F72A43A2FE4A5F97AB"));
        assert_eq!(block(2), hex("41E95B3BB0A2E8DD477901E4FCA894C0"));
        assert_eq!(block(0xfeff), hex("EC8CDF7398607CB0F2D21675EA9EA1E4"));
        assert_eq!(block(0xff00), hex("362B7C3C6773516318A077D7FC5073AE"));
        assert_eq!(block(0xff01), hex("6A2CC3787889374FBEB4C81B17BA6C44"));
    }

    fn derived(key: &str, salt: &str, label: u8, length: usize) -> Vec<u8> {
        let mut out = vec![0; length];
        Aes::new(&hex(key)).derive(&hex(salt).try_into().unwrap(), label, &mut out);
        out
    }

    /// RFC 3711 §B.3.
    #[test]
    fn key_derivation_of_128_bits() {
        let (key, salt) = ("E1F97A0D3E018BE0D64FA32C06DE4139", "0EC675AD498AFEEBB6960B3AABE6");
        assert_eq!(derived(key, salt, 0, 16), hex("C61E7A93744F39EE10734AFE3FF7A087"));
        assert_eq!(derived(key, salt, 2, 14), hex("30CBBC08863D8C85D49DB34A9AE1"));
        let auth = "CEBE321F6FF7716B6FD4AB49AF256A15 6D38BAA48F0A0ACF3C34E2359E6CDBCE E049646C43D9327AD175578EF7227098
                    6371C10C9A369AC2F94A8C5FBCDDDC25 6D6E919A48B610EF17C2041E47403576 6B68642C59BBFC2F34DB60DBDFB2";
        assert_eq!(derived(key, salt, 1, 94), hex(auth));
    }

    /// RFC 6188 §7.2.
    #[test]
    fn key_derivation_of_256_bits() {
        let key = "F0F04914B513F2763A1B1FA130F10E29 98F6F6E43E4309D1E622A0E332B9F1B6";
        let salt = "3B04803DE51EE7C96423AB5B78D2";
        let session = "5BA1064E30EC51613CAD926C5A28EF73 1EC7FB397F70A960653CAF06554CD8C4";
        assert_eq!(derived(key, salt, 0, 32), hex(session));
        assert_eq!(derived(key, salt, 2, 14), hex("FA31791685CA444A9E07C6C64E93"));
        assert_eq!(derived(key, salt, 1, 20), hex("FD9C32D39ED5FBB5A9DC96B30818454D1313DC05"));
    }

    fn session(suite: Suite) -> Transform {
        let key: Vec<u8> = (0..32).take(suite.key_length()).collect();
        let mut salt = Zeroizing::new([0; 14]);
        salt[..12].copy_from_slice(b"Quid pro quo");
        Transform::of_session(suite, &key, &[0; 20], salt)
    }

    /// RFC 7714 §16.1.1, §16.1.2, §16.2.1, §16.2.2.
    #[test]
    fn media_in_galois_counter_mode() {
        let plain =
            hex("8040f17b8041f8d35501a0b247616c6c696120657374206f6d6e69732064697669736120696e207061727465732074726573");
        let of_128 = "f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833899d7f27beb16a9152cf765ee4390cce";
        let of_256 = "32b1de78a822fe12ef9f78fa332e33aab18012389a58e2f3b50b2a0276ffae0f1ba63799b87b7aa3db36dfffd6b0f9bb7878d7a76c13";
        let at = At { ssrc: Ssrc(0x5501_a0b2), index: 0xf17b };
        let parts = Parts { head: 12, end: 50, tag: 16 };
        for (suite, sealed) in [(Suite::AeadAes128Gcm, of_128), (Suite::AeadAes256Gcm, of_256)] {
            let mut packet = plain.clone();
            packet.resize(66, 0);
            session(suite).seal_rtp(&mut packet, parts, at).unwrap();
            assert_eq!(packet[12..], hex(sealed));
            session(suite).open_rtp(&mut packet, parts, at).unwrap();
            assert_eq!(packet[..50], plain);
        }
    }

    /// RFC 7714 §17.1, §17.2, §17.3.
    #[test]
    fn control_in_galois_counter_mode() {
        let plain = hex(
            "81c8000d4d6172734e5450314e545032525450200000042a0000e9304c756e61deadbeefdeadbeefdeadbeefdeadbeefdeadbeef",
        );
        let of_128 = hex(
            "81c8000d4d61727363e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f32dc676a5f1730d6fda4ce09b4686303ded0bb9275bc84aa45896cf4d2fc5abf87245d9eade800005d4",
        );
        let of_256 = hex(
            "81c8000d4d617273d50ae4d1f5ce5d304ba297e47d470c282c3ece5dbffe0a50a2eaa5c1110555be8415f658c61de0476f1b6fad1d1eb30c4446839f57ff6f6cb26ac3be800005d4",
        );
        let at = At { ssrc: Ssrc(0x4d61_7273), index: 0x5d4 };
        for (suite, sealed) in [(Suite::AeadAes128Gcm, of_128), (Suite::AeadAes256Gcm, of_256)] {
            let mut packet = plain.clone();
            packet.resize(72, 0);
            session(suite).seal_rtcp(&mut packet, 52, at).unwrap();
            assert_eq!(packet, sealed);
            assert_eq!(session(suite).open_rtcp(&mut packet, at, true), Ok(52));
            assert_eq!(packet[..52], plain);
        }
        let mut tagged = [plain.clone(), hex("841dd9683dd78ec92ae58790125f62b3000005d4")].concat();
        assert_eq!(session(Suite::AeadAes128Gcm).open_rtcp(&mut tagged, at, false), Ok(52));
        assert_eq!(tagged[..52], plain);
        tagged[52..].copy_from_slice(&hex("841dd9683dd78ec92ae58790125f62b3000005d4"));
        tagged[20] ^= 1;
        assert_eq!(session(Suite::AeadAes128Gcm).open_rtcp(&mut tagged, at, false), Err(Forged));
    }
}
