//! `cargo xtask reference`: writes the reference of the contract, `docs/reference/plugin-contract.md`, from the WIT.

use std::fmt::Write;
use std::path::Path;

use anyhow::Context;
use anyhow::bail;
use wit_parser::Docs;
use wit_parser::Function;
use wit_parser::Interface;
use wit_parser::Resolve;
use wit_parser::Type;
use wit_parser::TypeDefKind;
use wit_parser::TypeId;
use wit_parser::WorldItem;

/// Where the page is.
const PAGE: &str = "docs/reference/plugin-contract.md";

/// Writes the page; with `--check`, only says whether it is as it should be.
pub(crate) fn run(root: &Path, args: &[String]) -> anyhow::Result<()> {
    let text = page(root)?;
    let path = root.join(PAGE);
    match args {
        [] => std::fs::write(&path, text).with_context(|| format!("cannot write `{PAGE}`")),
        [flag] if flag == "--check" => {
            let there = std::fs::read_to_string(&path).with_context(|| format!("cannot read `{PAGE}`"))?;
            if there != text {
                bail!("`{PAGE}` is not what wit/ says: run `cargo xtask reference`");
            }
            Ok(())
        }
        _ => bail!("expected `--check` or nothing"),
    }
}

fn page(root: &Path) -> anyhow::Result<String> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(root.join("wit"))?;
    let package = &resolve.packages[package];
    let mut out = format!(
        "# {}\n\n<!-- Written by `cargo xtask reference` from wit/; do not edit. -->\n\n## Worlds\n",
        package.name
    );
    for id in package.worlds.values() {
        let world = &resolve.worlds[*id];
        _ = writeln!(out, "\n### world `{}`\n\n{}\n", world.name, docs(&world.docs));
        for (word, items) in [("imports", &world.imports), ("exports", &world.exports)] {
            let names = items.values().filter_map(|item| match item {
                WorldItem::Interface { id, .. } => resolve.interfaces[*id].name.clone(),
                _ => None,
            });
            let names: Vec<String> = names
                .map(|name| format!("[`{name}`](#interface-{name})"))
                .collect();
            if !names.is_empty() {
                _ = writeln!(out, "- {word} {}", names.join(", "));
            }
        }
    }
    out += "\n## Interfaces\n";
    for (name, id) in &package.interfaces {
        interface(&resolve, name, &resolve.interfaces[*id], &mut out);
    }
    Ok(out)
}

fn interface(resolve: &Resolve, name: &str, interface: &Interface, out: &mut String) {
    _ = writeln!(out, "\n### interface `{name}`\n\n{}", docs(&interface.docs));
    for (name, id) in &interface.types {
        type_def(resolve, name, *id, interface, out);
    }
    for function in interface
        .functions
        .values()
        .filter(|function| function.kind.resource().is_none())
    {
        _ = writeln!(out, "\n{}", signature(resolve, function));
    }
}

fn type_def(resolve: &Resolve, name: &str, id: TypeId, interface: &Interface, out: &mut String) {
    let def = &resolve.types[id];
    let word = match &def.kind {
        TypeDefKind::Record(_) => "record",
        TypeDefKind::Variant(_) => "variant",
        TypeDefKind::Enum(_) => "enum",
        TypeDefKind::Flags(_) => "flags",
        TypeDefKind::Resource => "resource",
        // A `use` is described where it points.
        _ => return,
    };
    _ = writeln!(out, "\n**{word} `{name}`** — {}\n", docs(&def.docs));
    let mut line = |name: &str, ty: Option<&Type>, about: &Docs| {
        let ty = ty
            .map(|ty| format!(": `{}`", type_name(resolve, ty)))
            .unwrap_or_default();
        _ = writeln!(out, "- `{name}`{ty} — {}", docs(about));
    };
    match &def.kind {
        TypeDefKind::Record(record) => record
            .fields
            .iter()
            .for_each(|f| line(&f.name, Some(&f.ty), &f.docs)),
        TypeDefKind::Variant(variant) => variant
            .cases
            .iter()
            .for_each(|c| line(&c.name, c.ty.as_ref(), &c.docs)),
        TypeDefKind::Enum(cases) => cases.cases.iter().for_each(|c| line(&c.name, None, &c.docs)),
        TypeDefKind::Flags(flags) => flags.flags.iter().for_each(|f| line(&f.name, None, &f.docs)),
        TypeDefKind::Resource => {
            let own = interface
                .functions
                .values()
                .filter(|f| f.kind.resource() == Some(id));
            own.for_each(|function| _ = writeln!(out, "- {}", signature(resolve, function)));
        }
        _ => {}
    }
}

fn signature(resolve: &Resolve, function: &Function) -> String {
    let params = function.params.iter().filter(|param| param.name != "self");
    let params: Vec<String> = params
        .map(|param| format!("{}: {}", param.name, type_name(resolve, &param.ty)))
        .collect();
    let result = function
        .result
        .as_ref()
        .map(|ty| format!(" -> {}", type_name(resolve, ty)))
        .unwrap_or_default();
    format!(
        "`{}({}){result}` — {}",
        function.item_name(),
        params.join(", "),
        docs(&function.docs)
    )
}

fn type_name(resolve: &Resolve, ty: &Type) -> String {
    let Type::Id(id) = ty else {
        return format!("{ty:?}").to_lowercase();
    };
    let def = &resolve.types[*id];
    if let Some(name) = &def.name {
        return name.clone();
    }
    let name = |ty: &Type| type_name(resolve, ty);
    match &def.kind {
        TypeDefKind::List(item) => format!("list<{}>", name(item)),
        TypeDefKind::Option(item) => format!("option<{}>", name(item)),
        TypeDefKind::Result(result) => {
            let side = |ty: &Option<Type>| ty.as_ref().map_or_else(|| "_".to_owned(), name);
            format!("result<{}, {}>", side(&result.ok), side(&result.err))
        }
        TypeDefKind::Tuple(tuple) => {
            let types: Vec<String> = tuple.types.iter().map(name).collect();
            format!("tuple<{}>", types.join(", "))
        }
        TypeDefKind::Handle(wit_parser::Handle::Borrow(id)) => format!("borrow<{}>", name(&Type::Id(*id))),
        TypeDefKind::Handle(wit_parser::Handle::Own(id)) => name(&Type::Id(*id)),
        other => other.as_str().to_owned(),
    }
}

fn docs(docs: &Docs) -> String {
    let text = docs.contents.as_deref().unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_what_the_contract_says() {
        run(&crate::root(), &["--check".to_owned()]).unwrap();
    }
}
