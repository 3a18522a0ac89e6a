"""Floor 4: the atlas as a web page. Files for any static host, made from imputed sections; nothing here trains or imputes.

`sources` says what is meant by a URI, `sections` writes the store of one section, `building` puts a page together, `serving` shows it;
`assets/` is what the browser runs, as it stands.
"""
