//! Sessions between two parties and the engines that run private inference over them.
