//! The web client, out of the binary.
//!
//! Pages are found by their address and always asked for again (`no-cache`, ETag); what they load carries a hash in its
//! name and is kept for ever. Files that were compressed when they were built are sent so to whoever accepts it.

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{self, HeaderMap, HeaderValue};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use rust_embed::{EmbeddedFile, RustEmbed};

#[derive(RustEmbed)]
#[folder = "$CARGO_MANIFEST_DIR/../../web/dist"]
struct Dist;

/// Shown where the web client was not built in.
const NOT_BUILT: &str = include_str!("not_built.html");

/// Answers everything no other route does.
pub async fn serve(request: Request) -> Response {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET, HEAD")]).into_response();
    }
    let path = request.uri().path();
    match page(path) {
        Some(page) => file(page, request.headers())
            .unwrap_or_else(|| (StatusCode::SERVICE_UNAVAILABLE, axum::response::Html(NOT_BUILT)).into_response()),
        None => asset(path).and_then(|name| file(name, request.headers())).unwrap_or_else(not_found),
    }
}

/// Which page an address shows.
fn page(path: &str) -> Option<&'static str> {
    let one_segment = |rest: &str| !rest.is_empty() && !rest.contains('/');
    match path {
        "/" => Some("index.html"),
        "/help" => Some("help.html"),
        "/api" => Some("api.html"),
        "/relay" => Some("relay.html"),
        _ if path.strip_prefix("/r/").is_some_and(one_segment) => Some("room.html"),
        _ if path.strip_prefix("/call/").is_some_and(one_segment) => Some("call.html"),
        _ => None,
    }
}

/// Files that are not pages: pages have their own addresses, compressed copies and hidden files have none.
fn asset(path: &str) -> Option<&str> {
    let name = path.strip_prefix('/')?;
    let hidden = name.split('/').any(|part| part.starts_with('.') || part.is_empty());
    (!hidden && !name.ends_with(".html") && !name.ends_with(".br")).then_some(name)
}

fn not_found() -> Response {
    match Dist::get("404.html") {
        Some(page) => (StatusCode::NOT_FOUND, axum::response::Html(page.data.into_owned())).into_response(),
        None => (StatusCode::NOT_FOUND, "There is nothing at this address.\n").into_response(),
    }
}

fn file(name: &str, headers: &HeaderMap) -> Option<Response> {
    let compressed = accepts_brotli(headers).then(|| Dist::get(&format!("{name}.br"))).flatten();
    let is_compressed = compressed.is_some();
    let found = compressed.or_else(|| Dist::get(name))?;
    let etag = etag(&found);
    let mut response = if is_known(headers, &etag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        Body::from(found.data.into_owned()).into_response()
    };
    let to = response.headers_mut();
    to.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type(name)));
    to.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    to.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache_control(name)));
    to.insert(header::ETAG, HeaderValue::try_from(etag).ok()?);
    if is_compressed {
        to.insert(header::CONTENT_ENCODING, HeaderValue::from_static("br"));
    }
    Some(response)
}

fn etag(file: &EmbeddedFile) -> String {
    let start: String = file.metadata.sha256_hash().iter().take(12).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{start}\"")
}

/// RFC 9110 §13.1.2, weak comparison.
fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    let lists = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    lists.flat_map(|list| list.split(',')).map(str::trim).any(|tag| tag == "*" || tag.trim_start_matches("W/") == etag)
}

/// RFC 9110 §12.5.3: `br` is named, and not with a weight of zero.
fn accepts_brotli(headers: &HeaderMap) -> bool {
    let lists = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    lists.flat_map(|list| list.split(',')).any(|entry| {
        let mut parts = entry.split(';').map(str::trim);
        let is_br = parts.next().is_some_and(|coding| coding.eq_ignore_ascii_case("br"));
        let weight = parts.find_map(|part| part.strip_prefix("q=")).map_or(Ok(1.0), str::parse::<f32>);
        is_br && weight.is_ok_and(|weight| weight > 0.0)
    })
}

/// The build puts everything with a hash in its name below `assets/`.
fn cache_control(name: &str) -> &'static str {
    if name.starts_with("assets/") { "public, max-age=31536000, immutable" } else { "no-cache" }
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "wasm" => "application/wasm",
        "mp3" => "audio/mpeg",
        "ogg" => "audio/ogg",
        "wav" => "audio/wav",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().expect("a header"))])
    }

    #[test]
    fn each_address_has_its_page_and_others_have_none() {
        assert_eq!(page("/"), Some("index.html"));
        assert_eq!(page("/r/blue-otter"), Some("room.html"));
        assert_eq!(page("/call/42"), Some("call.html"));
        assert_eq!(page("/relay"), Some("relay.html"));
        for path in ["/r/", "/r/a/b", "/call/", "/room.html", "/x", "//"] {
            assert_eq!(page(path), None, "{path}");
        }
    }

    #[test]
    fn hidden_and_compressed_files_and_pages_have_no_address_of_their_own() {
        assert_eq!(asset("/assets/a-1.js"), Some("assets/a-1.js"));
        for path in ["/assets/a-1.js.br", "/room.html", "/.vite/manifest.json", "/assets/../x", "//x", "/"] {
            assert_eq!(asset(path), None, "{path}");
        }
    }

    #[test]
    fn brotli_is_sent_to_those_who_ask_for_it() {
        for (value, accepted) in
            [("gzip, br", true), ("br;q=0", false), ("gzip", false), ("BR;q=0.5", true), ("brx", false)]
        {
            assert_eq!(accepts_brotli(&with(header::ACCEPT_ENCODING, value)), accepted, "{value}");
        }
    }

    #[test]
    fn a_known_etag_is_recognised_in_a_list() {
        assert!(is_known(&with(header::IF_NONE_MATCH, "\"a\", W/\"b\""), "\"b\""));
        assert!(!is_known(&with(header::IF_NONE_MATCH, "\"a\""), "\"b\""));
    }
}
