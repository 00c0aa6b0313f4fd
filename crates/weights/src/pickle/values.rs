//! What a pickle builds: values in an arena, so that a value may be deep, shared or part of itself without any recursion.

use std::collections::HashMap;

/// The place of a value in the arena.
pub(super) type Id = u32;

/// A value. Text is borrowed from the pickle: to name it again costs nothing.
#[derive(Clone, Debug)]
pub(super) enum Node<'a> {
    None,
    Number(i64),
    Text(&'a str),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dictionary(Vec<(Id, Id)>),
    /// The name of a class or a function: `torch._utils._rebuild_tensor_v2`. It is compared and never called.
    Global(&'a str, &'a str),
    Storage(Box<Storage<'a>>),
    Tensor(Box<Tensor<'a>>),
    /// Something else, of which nothing is needed.
    Opaque,
}

/// A stretch of numbers that tensors look into.
#[derive(Clone, Copy, Debug)]
pub(super) struct Storage<'a> {
    /// Its type: `FloatStorage`.
    pub(super) kind: &'a str,
    /// Its name in the file.
    pub(super) key: &'a str,
    /// Its first number, counted in the storage of that name.
    pub(super) start: usize,
}

/// A tensor: a view into a storage.
#[derive(Clone, Debug)]
pub(super) struct Tensor<'a> {
    pub(super) storage: Storage<'a>,
    /// The type, where the storage has none.
    pub(super) dtype: Option<&'a str>,
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<usize>,
}

/// All values of a pickle.
#[derive(Debug, Default)]
pub(super) struct Arena<'a> {
    nodes: Vec<Node<'a>>,
    /// What the pickle names by number.
    pub(super) memo: HashMap<u32, Id>,
    /// Work that was done: instructions, and values that were copied.
    pub(super) work: usize,
}

impl<'a> Arena<'a> {
    pub(super) fn add(&mut self, node: Node<'a>) -> Id {
        self.nodes.push(node);
        (self.nodes.len() - 1) as Id
    }

    pub(super) fn nodes(&self) -> impl Iterator<Item = &Node<'a>> {
        self.nodes.iter()
    }

    pub(super) fn get(&self, id: Id) -> &Node<'a> {
        &self.nodes[id as usize]
    }

    pub(super) fn get_mut(&mut self, id: Id) -> &mut Node<'a> {
        &mut self.nodes[id as usize]
    }

    /// The values of a tuple or a list.
    pub(super) fn items(&self, id: Id) -> Option<&[Id]> {
        match self.get(id) {
            Node::Tuple(items) | Node::List(items) => Some(items),
            _ => None,
        }
    }

    /// A number that counts something.
    pub(super) fn count(&self, id: Id) -> Option<usize> {
        match self.get(id) {
            Node::Number(number) => usize::try_from(*number).ok(),
            _ => None,
        }
    }

    /// Numbers that count something, of each axis of a tensor: PyTorch has 64 at most.
    pub(super) fn counts(&self, id: Id) -> Option<Vec<usize>> {
        self.items(id).filter(|items| items.len() <= 64)?.iter().map(|&item| self.count(item)).collect()
    }

    pub(super) fn text(&self, id: Id) -> Option<&'a str> {
        match self.get(id) {
            Node::Text(text) => Some(text),
            _ => None,
        }
    }
}
