//! Numbers of owners that are named.

use kiln_graph::Owner;
use kiln_graph::UserRef;
use kiln_tree::Tree;
use kiln_tree::TreePath;
use kiln_tree::users;
use kiln_tree::users::Ids;
use kiln_tree::users::NameOrId;

use crate::build::BuildContext;
use crate::error::EngineError;

/// Reads a small file of a tree; empty when it is not there.
pub(super) async fn read(build: &BuildContext, tree: &Tree, path: &str) -> Result<Vec<u8>, EngineError> {
    let path = TreePath::clean(path).map_err(EngineError::Path)?;
    Ok(build.layers.read_file(tree, &path).await?.unwrap_or_default())
}

/// Returns user and group by the files of the tree that is worked on.
pub(super) fn ids(owner: &Owner, passwd: &[u8], group: &[u8]) -> Ids {
    let owner = users::Owner {
        user: owner.user.as_ref().map(name_or_id),
        group: owner.group.as_ref().map(name_or_id),
    };
    users::chown(&owner, passwd, group)
}

fn name_or_id(user: &UserRef) -> NameOrId {
    match user {
        UserRef::Id(id) => NameOrId::Id(*id),
        UserRef::Name(name) => NameOrId::Name(name.clone()),
    }
}
