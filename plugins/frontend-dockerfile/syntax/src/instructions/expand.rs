//! Which words of which instruction have their variables expanded.

use super::Command;
use super::Fault;
use super::Instruction;
use super::KeyValue;
use super::RunCommand;
use super::SourcesAndDest;
use super::mount;
use crate::ast::Node;
use crate::error::SyntaxError;

/// Expands one word to one word. The caller knows the variables; see [`crate::shell::Lex`].
pub type Expander<'a> = dyn FnMut(&str) -> Result<String, SyntaxError> + 'a;

impl Command {
    /// Expands the words that BuildKit expands, in its order, and reads the mounts of RUN.
    ///
    /// Not here: the words of EXPOSE, which are split as well (see [`crate::ports`]), and the content of heredocs
    /// ([`Command::expand_contents`]).
    ///
    /// # Errors
    /// The first word that cannot be expanded, or a mount that is wrong.
    pub fn expand(&mut self, expand: &mut Expander<'_>) -> Result<(), Fault> {
        let node = &self.node;
        let done = match &mut self.instruction {
            Instruction::Add(add) => {
                optional(&mut add.chown, expand)?;
                optional(&mut add.chmod, expand)?;
                optional(&mut add.checksum, expand)?;
                paths(&mut add.sources, expand)
            }
            Instruction::Copy(copy) => {
                optional(&mut copy.chown, expand)?;
                optional(&mut copy.chmod, expand)?;
                paths(&mut copy.sources, expand)
            }
            Instruction::Env(pairs) | Instruction::Label(pairs) => key_values(pairs, expand),
            Instruction::Arg(arg) => {
                for pair in &mut arg.args {
                    pair.key = expand(&pair.key)?;
                    if let Some(value) = &mut pair.value {
                        *value = expand(value)?;
                    }
                }
                Ok(())
            }
            Instruction::Volume(words) => all(words, expand),
            Instruction::Workdir(word) | Instruction::User(word) | Instruction::Stopsignal(word) => {
                *word = expand(word)?;
                Ok(())
            }
            Instruction::Run(run) => return mounts(run, node, expand),
            Instruction::Cmd(_)
            | Instruction::Entrypoint(_)
            | Instruction::Expose(_)
            | Instruction::Healthcheck(_)
            | Instruction::Maintainer(_)
            | Instruction::Onbuild(_)
            | Instruction::Shell(_) => Ok(()),
        };
        done.map_err(Fault::from)
    }

    /// Expands the content of the heredocs of ADD and COPY that are not quoted. Quotes count for nothing there: the
    /// expander is [`crate::shell::Lex::for_heredoc`].
    ///
    /// # Errors
    /// The first content that cannot be expanded.
    pub fn expand_contents(&mut self, expand: &mut Expander<'_>) -> Result<(), SyntaxError> {
        let sources = match &mut self.instruction {
            Instruction::Add(add) => &mut add.sources,
            Instruction::Copy(copy) => &mut copy.sources,
            _ => return Ok(()),
        };
        for content in sources.contents.iter_mut().filter(|content| content.expand) {
            content.data = expand(&content.data)?;
        }
        Ok(())
    }
}

/// Reads the mounts of RUN. What is wrong is in the flag that is read.
fn mounts(run: &mut RunCommand, node: &Node, expand: &mut Expander<'_>) -> Result<(), Fault> {
    run.mounts.clear();
    for (number, text) in run.mount_flags.iter().enumerate() {
        let mount = mount::parse_mount(text, Some(&mut *expand)).map_err(|error| Fault {
            error,
            span: node.flag("mount", number),
        })?;
        run.mounts.push(mount);
    }
    Ok(())
}

fn optional(word: &mut Option<String>, expand: &mut Expander<'_>) -> Result<(), SyntaxError> {
    if let Some(text) = word {
        *text = expand(text)?;
    }
    Ok(())
}

fn all(words: &mut [String], expand: &mut Expander<'_>) -> Result<(), SyntaxError> {
    for word in words {
        *word = expand(word)?;
    }
    Ok(())
}

fn paths(sources: &mut SourcesAndDest, expand: &mut Expander<'_>) -> Result<(), SyntaxError> {
    all(&mut sources.paths, expand)?;
    sources.dest = expand(&sources.dest)?;
    Ok(())
}

fn key_values(pairs: &mut [KeyValue], expand: &mut Expander<'_>) -> Result<(), SyntaxError> {
    for pair in pairs {
        pair.key = expand(&pair.key)?;
        pair.value = expand(&pair.value)?;
    }
    Ok(())
}
