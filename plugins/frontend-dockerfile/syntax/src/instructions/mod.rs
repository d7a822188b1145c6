//! Understands instructions: which flags and arguments each takes, and what they mean. It knows nothing of images,
//! stages' content or the build.

mod copy;
mod exec;
mod expand;
mod flags;
mod keyvalue;
mod mount;
mod stage;
mod types;
mod word;

use crate::ast::Ast;
use crate::ast::Node;
use crate::error::ParseError;
use crate::error::Phase;
use crate::error::SyntaxError;
use crate::parser;
use crate::span::Span;
use crate::suggest;

pub use expand::Expander;
pub use flags::FlagDefs;
pub use flags::FlagKind;
pub use flags::Flags;
pub use flags::parse_flags;
pub use mount::Device;
pub use mount::Mount;
pub use mount::MountType;
pub use mount::Sharing;
pub use mount::parse_device;
pub use types::*;

/// The names of all instructions.
pub const NAMES: [&str; 18] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// What is wrong with an instruction, and with which word of it if that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What is wrong.
    pub error: SyntaxError,
    /// The word.
    pub span: Option<Span>,
}

impl Fault {
    /// Makes a fault of one word.
    pub(crate) fn at(error: SyntaxError, span: Span) -> Self {
        Self {
            error,
            span: Some(span),
        }
    }

    /// Makes a fault of the whole instruction.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        SyntaxError::new(text).into()
    }
}

impl From<Fault> for SyntaxError {
    fn from(fault: Fault) -> Self {
        fault.error
    }
}

impl From<SyntaxError> for Fault {
    fn from(error: SyntaxError) -> Self {
        Self { error, span: None }
    }
}

/// A Dockerfile, understood.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Dockerfile {
    /// The stages, in the order of the file.
    pub stages: Vec<Stage>,
    /// The `ARG` lines before the first `FROM`.
    pub meta_args: Vec<Command>,
}

impl Dockerfile {
    /// Returns the build arguments before the first `FROM`, in order.
    pub fn global_args(&self) -> impl Iterator<Item = &ArgPair> {
        self.meta_args
            .iter()
            .flat_map(|command| match &command.instruction {
                Instruction::Arg(arg) => arg.args.as_slice(),
                _ => &[],
            })
    }
}

/// Understands all instructions of a file and sorts them into stages.
///
/// # Errors
/// The first instruction that is wrong, or that stands before the first `FROM` and is not `ARG`.
pub fn parse(ast: &Ast) -> Result<Dockerfile, ParseError> {
    let mut file = Dockerfile::default();
    for node in &ast.nodes {
        match parse_node(node)? {
            Parsed::Stage(stage) => file.stages.push(stage),
            Parsed::Command(command) => match file.stages.last_mut() {
                Some(stage) => stage.commands.push(command),
                None if matches!(command.instruction, Instruction::Arg(_)) => file.meta_args.push(command),
                None => {
                    let (first, last) = node.lines();
                    let error = ParseError::lines("no build stage in current context", first, last);
                    return Err(ParseError {
                        span: node.name.span,
                        ..error
                    });
                }
            },
        }
    }
    Ok(file)
}

/// One instruction, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parsed {
    /// `FROM`
    Stage(Stage),
    /// Any other.
    Command(Command),
}

/// Understands one instruction.
///
/// # Errors
/// What is wrong with it.
pub fn parse_node(node: &Node) -> Result<Parsed, ParseError> {
    parse_instruction(node).map_err(|fault| ParseError {
        message: fault.error.message().to_owned(),
        span: fault.span.unwrap_or(node.span),
        lines: node.lines(),
        phase: Phase::Instruction,
    })
}

/// Reads an instruction that ONBUILD has stored in an image.
///
/// # Errors
/// Text that is not exactly one instruction, or one that is wrong. Lines are counted in the text.
pub fn parse_trigger(text: &str) -> Result<Command, ParseError> {
    let ast = parser::parse(text.as_bytes())?;
    let [node] = ast.nodes.as_slice() else {
        return Err(ParseError::lines(
            "onbuild trigger should be a single expression",
            1,
            0,
        ));
    };
    match parse_node(node)? {
        Parsed::Command(command) => Ok(command),
        Parsed::Stage(_) => Err(ParseError::lines(
            "FROM isn't allowed as an ONBUILD trigger",
            1,
            0,
        )),
    }
}

fn parse_instruction(node: &Node) -> Result<Parsed, Fault> {
    let name = node.name.text.to_ascii_uppercase();
    let instruction = match name.as_str() {
        "FROM" => return stage::from(node).map(Parsed::Stage),
        "ADD" => Instruction::Add(copy::add(node)?),
        "ARG" => Instruction::Arg(keyvalue::arg(node)?),
        "CMD" => Instruction::Cmd(exec::command_line(node)?),
        "COPY" => Instruction::Copy(copy::copy(node)?),
        "ENTRYPOINT" => Instruction::Entrypoint(exec::command_line(node)?),
        "ENV" => Instruction::Env(keyvalue::pairs(node, &name)?),
        "EXPOSE" => Instruction::Expose(word::expose(node)?),
        "HEALTHCHECK" => Instruction::Healthcheck(exec::healthcheck(node)?),
        "LABEL" => Instruction::Label(keyvalue::pairs(node, &name)?),
        "MAINTAINER" => Instruction::Maintainer(word::exactly_one(node, &name)?),
        "ONBUILD" => Instruction::Onbuild(stage::onbuild(node)?),
        "RUN" => Instruction::Run(exec::run(node)?),
        "SHELL" => Instruction::Shell(exec::shell(node)?),
        "STOPSIGNAL" => Instruction::Stopsignal(word::stopsignal(node)?),
        "USER" => Instruction::User(word::exactly_one(node, &name)?),
        "VOLUME" => Instruction::Volume(word::volume(node)?),
        "WORKDIR" => Instruction::Workdir(word::exactly_one(node, &name)?),
        _ => {
            let text = format!("unknown instruction: {}", node.name.text);
            let error = SyntaxError::new(suggest::any_case(text, &node.name.text, &NAMES));
            return Err(Fault::at(error, node.name.span));
        }
    };
    Ok(Parsed::Command(Command {
        instruction,
        node: node.clone(),
    }))
}

/// The texts of the arguments.
fn texts(node: &Node) -> Vec<String> {
    node.args.iter().map(|word| word.text.clone()).collect()
}

fn at_least_one(name: &str) -> Fault {
    Fault::new(format!("{name} requires at least one argument"))
}

/// Finds what the comments above say about a name: the first line that starts with it.
fn comment_on(node: &Node, name: &str) -> String {
    let told = |line: &String| line.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned);
    if name.is_empty() {
        None
    } else {
        node.comments.iter().find_map(told)
    }
    .unwrap_or_default()
}
