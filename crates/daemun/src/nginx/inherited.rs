//! What holds in a block of what the blocks around it say, where a list of a block's own takes the place of an outer one.

use conf::{At, Directive};

/// Directives that make a list together, or take each other's place.
const LISTS: [&[&str]; 9] = [
    &["root", "alias"],
    &["index"],
    &["allow", "deny"],
    &["satisfy"],
    &["set_real_ip_from"],
    &["add_header"],
    &["add_trailer"],
    &["error_page"],
    &["access_log"],
];

/// Those of which people expect that the outer ones hold, too.
const SURPRISING: [&str; 7] =
    ["allow", "deny", "set_real_ip_from", "add_header", "add_trailer", "error_page", "access_log"];

#[derive(Default)]
pub struct Inherited<'t> {
    /// The blocks, from the outermost in.
    pub blocks: Vec<&'t Directive>,
    pub held: Vec<&'t Directive>,
    /// What does not hold, and the block whose own is in its place.
    pub dropped: Vec<(&'t Directive, &'t Directive)>,
}

/// For the block that begins at `at`.
pub fn of<'t>(tree: &'t [Directive], at: &At) -> Inherited<'t> {
    let mut found = Inherited::default();
    descend(tree, at, &mut found.blocks);
    for names in LISTS {
        let mut held: Vec<&Directive> = Vec::new();
        let mut mode = "on";
        for block in &found.blocks {
            let own = block.block.iter().flatten();
            let inherit = own.clone().find(|it| it.name.text.strip_suffix("_inherit") == names.first().copied());
            if let Some(word) = inherit.and_then(|it| it.args.first()) {
                mode = &word.text;
            }
            let own: Vec<&Directive> = own.filter(|it| names.contains(&it.name.text.as_str())).collect();
            let replaced = mode != "merge" && !own.is_empty() || mode == "off" && inherit.is_some();
            if replaced {
                let dropped = held.drain(..).filter(|it| SURPRISING.contains(&it.name.text.as_str()));
                found.dropped.extend(dropped.map(|it| (it, *block)));
            }
            held.extend(own);
        }
        found.held.extend(held);
    }
    found
}

/// The blocks down to the one at `at`; `false`: it is not here.
fn descend<'t>(tree: &'t [Directive], at: &At, blocks: &mut Vec<&'t Directive>) -> bool {
    for it in tree {
        let Some(inner) = &it.block else { continue };
        blocks.push(it);
        if it.at() == at || descend(inner, at, blocks) {
            return true;
        }
        blocks.pop();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What holds and what does not in the block that begins at a line: arguments, with spaces between.
    fn held(text: &str, line: u32) -> (String, String) {
        let tree = conf::parse_alone("t", text).unwrap();
        let mut all = tree.iter().collect::<Vec<_>>();
        let mut at = None;
        while let Some(it) = all.pop() {
            let here = matches!(it.at(), At::File { line: own, .. } if *own == line);
            at = at.or_else(|| (here && it.block.is_some()).then(|| it.at().clone()));
            all.extend(it.block.iter().flatten());
        }
        let found = of(&tree, &at.unwrap());
        let names =
            |list: Vec<&Directive>| list.iter().map(|it| it.args[0].text.as_str()).collect::<Vec<_>>().join(" ");
        (names(found.held), names(found.dropped.iter().map(|(it, _)| *it).collect()))
    }

    #[test]
    fn own_lists_take_the_place_of_outer_ones() {
        let text = "http { add_header A 1; root /r; error_page 404 /x;\nserver { add_header B 2; root /s;\n location / { \
                    deny all; }\n location /b { add_header C 3;\n if ($uri) { add_header D 4; }}}}";
        assert_eq!(held(text, 3), ("/s all B 404".into(), "A".into()));
        assert_eq!(held(text, 4), ("/s C 404".into(), "A B".into()));
        assert_eq!(held(text, 5), ("/s D 404".into(), "A B C".into()));
    }

    #[test]
    fn unless_they_are_merged() {
        let text = "http { add_header A 1; add_header_inherit merge;\nserver { add_header B 2;\n location / { \
                    add_header_inherit off; } } }";
        assert_eq!(held(text, 2), ("A B".into(), "".into()));
        assert_eq!(held(text, 3), ("".into(), "A B".into()));
    }
}
