//! Builds graphs: sources, and file operations made of many actions.

use kiln_sdk::Error;
use kiln_sdk::Tree;
use kiln_sdk::frontend::Definition;
use kiln_sdk::frontend::Host;
use kiln_sdk::frontend::Input;
use kiln_sdk::frontend::Source;
use kiln_sdk::graph::Copy;
use kiln_sdk::graph::FileAct;
use kiln_sdk::graph::FileAction;
use kiln_sdk::graph::FileInput;
use kiln_sdk::graph::Mkdir;
use kiln_sdk::graph::Mkfile;
use kiln_sdk::graph::Op;
use kiln_sdk::graph::Owner;
use kiln_sdk::graph::Rm;
use kiln_sdk::graph::Symlink;
use kiln_sdk::graph::UserRef;
use kiln_sdk::graph::Vertex;
use kiln_sdk::types::Attr;
use kiln_sdk::types::Platform;
use kiln_sdk::types::SourceFile;

use crate::spec::Owned;

/// A graph in the making.
#[derive(Debug)]
pub(crate) struct Graph {
    vertices: Vec<Vertex>,
    platform: Option<Platform>,
}

/// A file of an http server.
#[derive(Debug, Clone, Default)]
pub(crate) struct Remote {
    pub(crate) url: String,
    pub(crate) filename: String,
    pub(crate) sha256: Option<String>,
    /// It is a package, and its result what is in it.
    pub(crate) unpack: bool,
    pub(crate) name: String,
}

impl Graph {
    pub(crate) fn new() -> Self {
        Self {
            vertices: Vec::new(),
            platform: None,
        }
    }

    /// Sets the platform of the vertices that are added from now on.
    pub(crate) fn on(&mut self, platform: &Platform) {
        self.platform = Some(platform.clone());
    }

    fn add(&mut self, op: Op, name: String) -> Input {
        self.vertices.push(Vertex {
            op,
            platform: self.platform.clone(),
            name,
            spans: Vec::new(),
            ignore_cache: false,
            group: None,
        });
        let vertex = self.vertices.len() as u32 - 1;
        Input { vertex, output: 0 }
    }

    pub(crate) fn remote(&mut self, remote: &Remote) -> Input {
        let mut attrs = vec![Attr::new("http.filename", &remote.filename)];
        if let Some(digest) = &remote.sha256 {
            attrs.push(Attr::new("http.checksum", format!("sha256:{digest}")));
        }
        if remote.unpack {
            attrs.push(Attr::new("kiln.unpack", "deb"));
        }
        let identifier = remote.url.clone();
        self.add(Op::Source(Source { identifier, attrs }), remote.name.clone())
    }

    /// Adds the files of the build's context that are named.
    pub(crate) fn context(&mut self, paths: &[String]) -> Input {
        let list: Vec<String> = paths.iter().map(|path| format!("{path:?}")).collect();
        let attrs = vec![Attr::new("local.includepattern", format!("[{}]", list.join(",")))];
        let identifier = "local://context".to_owned();
        self.add(
            Op::Source(Source { identifier, attrs }),
            "[internal] load build context".to_owned(),
        )
    }

    /// Adds a file operation; `on` is the tree that it starts from.
    pub(crate) fn files(&mut self, on: Option<Input>, acts: Vec<FileAct>, name: String) -> Input {
        let count = acts.len();
        let actions = acts.into_iter().enumerate().map(|(at, act)| FileAction {
            on: match (at, on) {
                (0, None) => FileInput::Scratch,
                (0, Some(input)) => FileInput::Vertex(input),
                (at, _) => FileInput::Action(at as u32 - 1),
            },
            act,
            output: (at + 1 == count).then_some(0),
        });
        self.add(Op::File(actions.collect()), name)
    }

    pub(crate) fn finish(self, sources: Vec<SourceFile>) -> Definition {
        Definition {
            vertices: self.vertices,
            sources,
        }
    }
}

/// Fetches many files at once: the result has each in a directory that is its place in the list.
pub(crate) fn fetch(host: &dyn Host, remotes: &[Remote], name: &str) -> Result<Box<dyn Tree>, Error> {
    let mut graph = Graph::new();
    let sources: Vec<Input> = remotes.iter().map(|remote| graph.remote(remote)).collect();
    let copies = sources.iter().enumerate();
    let acts = copies
        .map(|(at, source)| copy(*source, "/", &format!("/{at}/"), &[]))
        .collect();
    let result = graph.files(None, acts, name.to_owned());
    host.solve(&graph.finish(Vec::new()), result)
}

/// Copies `src`, or what is in it where it is a directory, to `dest`.
pub(crate) fn copy(from: Input, src: &str, dest: &str, exclude: &[String]) -> FileAct {
    FileAct::Copy(Copy {
        from: FileInput::Vertex(from),
        src: src.to_owned(),
        dest: dest.to_owned(),
        owner: None,
        mode: None,
        mode_str: String::new(),
        follow_symlink: false,
        dir_copy_contents: true,
        attempt_unpack: false,
        create_dest_path: true,
        allow_wildcard: false,
        allow_empty_wildcard: false,
        timestamp: None,
        include_patterns: Vec::new(),
        exclude_patterns: exclude.to_vec(),
        always_replace_existing_dest_paths: true,
        required_paths: Vec::new(),
    })
}

fn owner(owned: Owned) -> Option<Owner> {
    Some(Owner {
        user: Some(UserRef::Id(owned.uid)),
        group: Some(UserRef::Id(owned.gid)),
    })
}

/// Copies from the context, with mode and owner.
pub(crate) fn copy_owned(from: Input, src: &str, dest: &str, owned: Owned) -> FileAct {
    let act = copy(from, src, dest, &[]);
    match act {
        FileAct::Copy(copy) => FileAct::Copy(Copy {
            owner: owner(owned),
            mode: owned.mode,
            timestamp: Some(0),
            ..copy
        }),
        other => other,
    }
}

pub(crate) fn mkdir(path: &str, owned: Owned) -> FileAct {
    FileAct::Mkdir(Mkdir {
        path: path.to_owned(),
        mode: owned.mode.unwrap_or(0o755),
        make_parents: true,
        owner: owner(owned),
        timestamp: Some(0),
    })
}

pub(crate) fn mkfile(path: &str, data: impl Into<Vec<u8>>, owned: Owned) -> FileAct {
    FileAct::Mkfile(Mkfile {
        path: path.to_owned(),
        mode: owned.mode.unwrap_or(0o644),
        data: data.into(),
        owner: owner(owned),
        timestamp: Some(0),
    })
}

pub(crate) fn symlink(path: &str, target: &str) -> FileAct {
    FileAct::Symlink(Symlink {
        old_path: target.to_owned(),
        new_path: path.to_owned(),
        owner: None,
        timestamp: Some(0),
    })
}

/// Removes what is at `path`, if something is.
pub(crate) fn remove(path: &str) -> FileAct {
    FileAct::Rm(Rm {
        path: path.to_owned(),
        allow_not_found: true,
        allow_wildcard: false,
    })
}
