//! `kiln image ls|rm|save|push`.

use clap::Args;
use clap::Subcommand;
use kiln_export::Destination;

use super::Session;
use super::print;
use super::reference;
use super::table;
use crate::exit::Failure;
use crate::progress::Detail;
use crate::progress::Display;
use crate::progress::Mode;
use crate::progress::bytes;
use crate::report::Report;
use crate::wiring::Wanted;

/// What `kiln image` takes.
#[derive(Debug, Args)]
pub(crate) struct ImageArgs {
    #[command(subcommand)]
    command: ImageCommand,
}

#[derive(Debug, Subcommand)]
enum ImageCommand {
    /// List images
    #[command(visible_alias = "list")]
    Ls {
        /// Print digests only
        #[arg(short, long)]
        quiet: bool,
    },
    /// Remove images; their content goes when nothing else needs it
    Rm {
        /// The images
        #[arg(required = true, value_name = "IMAGE")]
        images: Vec<String>,
    },
    /// Write an image as an archive that other tools load
    Save {
        /// The image
        #[arg(value_name = "IMAGE")]
        image: String,
        /// File to write, or `-` for standard output
        #[arg(short, long, value_name = "FILE", default_value = "-")]
        output: String,
    },
    /// Push an image to its registry
    Push {
        /// The image
        #[arg(value_name = "IMAGE")]
        image: String,
        /// How it is shown
        #[arg(long, value_enum, default_value = "auto")]
        progress: Mode,
        /// Registry that may speak plain HTTP or have a certificate that nobody vouches for
        #[arg(long = "insecure-registry", value_name = "HOST")]
        insecure_registries: Vec<String>,
    },
}

/// Works with the images of the store.
pub(crate) fn run(args: &ImageArgs) -> Result<u8, Failure> {
    let session = Session::open()?;
    let runtime = super::runtime()?;
    let _entered = runtime.enter();
    let mut wanted = Wanted::default();
    if let ImageCommand::Push {
        insecure_registries, ..
    } = &args.command
    {
        wanted.insecure_registries.clone_from(insecure_registries);
    }
    let engine = session.engine(&wanted)?;
    match &args.command {
        ImageCommand::Ls { quiet } => list(&engine, *quiet)?,
        ImageCommand::Rm { images } => {
            for image in images {
                let reference = reference(image)?;
                if !engine.images().remove(&reference)? {
                    return Err(Failure::failed(Report::new(format!(
                        "no such image: {reference}"
                    ))));
                }
                print(&format!("Untagged: {}\n", reference.familiar()))?;
            }
        }
        ImageCommand::Save { image, output } => {
            let dest = match output.as_str() {
                "-" if std::io::IsTerminal::is_terminal(&std::io::stdout()) => {
                    let error = crate::args::ArgError::new("will not write an archive to a terminal");
                    return Err(error.hint("name a file with `--output`, or redirect").into());
                }
                "-" => Destination::Stdout,
                path => Destination::Path(session.around.path(path)),
            };
            engine.save(&reference(image)?, &dest)?;
        }
        ImageCommand::Push { image, progress, .. } => {
            let reference = reference(image)?;
            let display = Display::start(*progress, Detail::Short);
            let pushed = runtime.block_on(Box::pin(engine.push(&reference, display.sink())));
            display.finish();
            print(&format!("{}\n", pushed?))?;
        }
    }
    Ok(0)
}

fn list(engine: &kiln_engine::Engine, quiet: bool) -> Result<(), Failure> {
    let images = engine.images().list()?;
    if quiet {
        return print(
            &images
                .iter()
                .map(|image| format!("{}\n", image.descriptor.digest))
                .collect::<String>(),
        );
    }
    let mut rows = vec![["NAME", "DIGEST", "CREATED", "SIZE"].map(str::to_owned).to_vec()];
    rows.extend(images.iter().map(|image| {
        let name = image
            .name
            .parse::<kiln_image::Reference>()
            .map_or_else(|_| image.name.clone(), |r| r.familiar());
        vec![
            name,
            image.descriptor.digest.short(),
            image.created.clone(),
            bytes(image.size),
        ]
    }));
    print(&table(&rows))
}
