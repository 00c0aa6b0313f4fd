//! The pickle machine, without the part that runs programs: of what a pickle would call, the few functions that rebuild
//! tensors are known by name, and everything else yields a value of which nothing is needed.
//!
//! The instructions are those of protocols 0 to 5 (Python's `pickletools`).

use super::values::{Arena, Id, Node, Storage, Tensor};

/// Instructions of a file at most: a checkpoint takes some fifty for each tensor.
const LONGEST: usize = 4 << 20;

/// Reads one pickle. Returns the value that it leaves, and the bytes behind it.
pub(super) fn run<'a>(bytes: &'a [u8], arena: &mut Arena<'a>) -> Result<(Id, &'a [u8]), String> {
    arena.memo.clear();
    let mut machine = Machine { rest: bytes, stack: Vec::new(), marks: Vec::new(), arena };
    loop {
        machine.work(1)?;
        if let Some(value) = machine.step()? {
            return Ok((value, machine.rest));
        }
    }
}

struct Machine<'a, 'm> {
    rest: &'a [u8],
    stack: Vec<Id>,
    marks: Vec<usize>,
    arena: &'m mut Arena<'a>,
}

impl<'a> Machine<'a, '_> {
    /// Does one instruction; the value of the pickle at its end.
    fn step(&mut self) -> Result<Option<Id>, String> {
        let code = self.byte()?;
        match code {
            b'.' => return self.pop().map(Some),
            0x80 => drop(self.byte()?),   // protocol
            0x95 => drop(self.bytes(8)?), // frame
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.marked()?),
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
            }
            b'N' => self.push(Node::None),
            0x88 => self.push(Node::Number(1)),
            0x89 => self.push(Node::Number(0)),
            b'J' | b'K' | b'M' | 0x8a | 0x8b | b'I' | b'L' | b'F' | b'G' => self.number(code)?,
            b'X' | 0x8c | 0x8d | b'V' | b'S' | b'T' | b'U' => self.text(code)?,
            b'B' | b'C' | 0x8e | 0x96 => self.blob(code)?,
            b']' => self.push(Node::List(Vec::new())),
            b')' => self.push(Node::Tuple(Vec::new())),
            b'}' => self.push(Node::Dictionary(Vec::new())),
            0x8f => self.push(Node::Opaque), // a set
            b'l' | b't' | 0x85..=0x87 | b'd' | 0x91 => self.collect(code)?,
            b'a' | b'e' | b's' | b'u' | 0x90 => self.fill(code)?,
            b'c' | 0x93 | b'i' | b'o' | b'R' | b'b' | 0x81 | 0x92 | b'Q' | b'P' => self.object(code)?,
            b'p' | b'q' | b'r' | 0x94 | b'g' | b'h' | b'j' => self.memo(code)?,
            other => return Err(format!("the pickle has an instruction {other:#04x}, which is not known")),
        }
        Ok(None)
    }

    fn number(&mut self, code: u8) -> Result<(), String> {
        let number = match code {
            b'K' => i64::from(self.byte()?),
            b'M' => self.little(2)?,
            b'J' => i64::from(self.little(4)? as i32),
            0x8a => {
                let len = self.byte()?.into();
                long(self.bytes(len)?)
            }
            0x8b => {
                let len = self.length(4)?;
                long(self.bytes(len)?)
            }
            b'I' | b'L' => {
                let line = self.line()?;
                line.trim_end_matches('L').parse().map_err(|_| format!("{line:?} is no number"))?
            }
            // What is measured is of no use here: a learning rate, a loss.
            b'F' => return self.line().map(|_| self.push(Node::Opaque)),
            _ => return self.bytes(8).map(|_| self.push(Node::Opaque)),
        };
        self.push(Node::Number(number));
        Ok(())
    }

    fn text(&mut self, code: u8) -> Result<(), String> {
        let text = match code {
            b'V' => self.line()?,
            b'S' => {
                let line = self.line()?;
                let quoted = line.get(1..line.len().saturating_sub(1));
                quoted.ok_or_else(|| format!("{line:?} is not quoted"))?
            }
            _ => {
                let len = match code {
                    b'U' | 0x8c => self.length(1)?,
                    b'X' | b'T' => self.length(4)?,
                    _ => self.length(8)?,
                };
                std::str::from_utf8(self.bytes(len)?).map_err(|error| format!("a name in it: {error}"))?
            }
        };
        self.push(Node::Text(text));
        Ok(())
    }

    fn blob(&mut self, code: u8) -> Result<(), String> {
        let len = self.length(match code {
            b'C' => 1,
            b'B' => 4,
            _ => 8,
        })?;
        self.bytes(len)?;
        self.push(Node::Opaque);
        Ok(())
    }

    /// Makes one value of several on the stack.
    fn collect(&mut self, code: u8) -> Result<(), String> {
        let items = match code {
            0x85..=0x87 => {
                let n = usize::from(code - 0x84);
                let start = self.stack.len().checked_sub(n).filter(|&start| start >= self.floor());
                self.stack.split_off(start.ok_or_else(empty)?)
            }
            _ => self.marked()?,
        };
        let node = match code {
            b'l' => Node::List(items),
            b'd' => Node::Dictionary(pairs(&items)),
            0x91 => Node::Opaque,
            _ => Node::Tuple(items),
        };
        self.push(node);
        Ok(())
    }

    /// Adds values on the stack to the one below them.
    fn fill(&mut self, code: u8) -> Result<(), String> {
        let items = match code {
            b'a' => vec![self.pop()?],
            b's' => {
                let value = self.pop()?;
                vec![self.pop()?, value]
            }
            _ => self.marked()?,
        };
        let to = self.top()?;
        match (self.arena.get_mut(to), code) {
            (Node::List(list), b'a' | b'e') => list.extend(items),
            (Node::Dictionary(entries), b's' | b'u') => entries.extend(pairs(&items)),
            _ => {}
        }
        Ok(())
    }

    fn memo(&mut self, code: u8) -> Result<(), String> {
        let number = match code {
            0x94 => self.arena.memo.len() as u32,
            b'q' | b'h' => self.byte()?.into(),
            b'r' | b'j' => self.little(4)? as u32,
            _ => {
                let line = self.line()?;
                line.parse().map_err(|_| format!("{line:?} is no number"))?
            }
        };
        match code {
            b'g' | b'h' | b'j' => {
                let known = self.arena.memo.get(&number).copied();
                self.stack.push(known.ok_or_else(|| format!("value {number} is used before it is made"))?);
            }
            _ => {
                let top = self.top()?;
                self.arena.memo.insert(number, top);
            }
        }
        Ok(())
    }

    /// Names of classes, and what would be made of them.
    fn object(&mut self, code: u8) -> Result<(), String> {
        match code {
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.push(Node::Global(module, name));
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let texts = self.arena.text(module).zip(self.arena.text(name));
                let (module, name) = texts.ok_or("the name of a class is no text")?;
                self.push(Node::Global(module, name));
            }
            b'i' => {
                self.line()?;
                self.line()?;
                self.marked()?;
                self.push(Node::Opaque);
            }
            b'o' => {
                self.marked()?;
                self.push(Node::Opaque);
            }
            b'b' => drop(self.pop()?), // a state: attributes of a dictionary, of a module
            b'Q' => {
                let id = self.pop()?;
                let node = self.persistent(id)?;
                self.push(node);
            }
            b'P' => return Err("storages are named by text, which no version of PyTorch does".to_owned()),
            _ => {
                if code == 0x92 {
                    self.pop()?;
                }
                let (arguments, function) = (self.pop()?, self.pop()?);
                let made = self.call(function, arguments)?;
                self.stack.push(made);
            }
        }
        Ok(())
    }

    /// The value that a call would have, where it is needed.
    fn call(&mut self, function: Id, arguments: Id) -> Result<Id, String> {
        let Node::Global(module, name) = *self.arena.get(function) else {
            return Ok(self.arena.add(Node::Opaque));
        };
        // The longest list of arguments that matters has seven.
        let given = self.arena.items(arguments).unwrap_or_default();
        let given = given[..given.len().min(8)].to_vec();
        let node = match (module, name) {
            ("collections", "OrderedDict") => {
                let listed = given.first().and_then(|&list| self.arena.items(list)).unwrap_or_default();
                let listed = listed.to_vec();
                self.work(listed.len())?;
                let pair = |pair: Id| match self.arena.items(pair) {
                    Some(&[name, value]) => Some((name, value)),
                    _ => None,
                };
                Node::Dictionary(listed.into_iter().filter_map(pair).collect())
            }
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => {
                return given.first().copied().ok_or_else(|| "a parameter without a tensor".to_owned());
            }
            ("torch._tensor", "_rebuild_from_type_v2") => {
                return self.call_of_type(&given);
            }
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2" | "_rebuild_tensor_v3") => {
                Node::Tensor(Box::new(self.tensor(&given, name == "_rebuild_tensor_v3")?))
            }
            ("torch", "Size") => {
                return given.first().copied().ok_or_else(|| "a size without numbers".to_owned());
            }
            _ => Node::Opaque,
        };
        Ok(self.arena.add(node))
    }

    /// A call within a call, of a subclass of a tensor: one deep and no deeper.
    fn call_of_type(&mut self, given: &[Id]) -> Result<Id, String> {
        if let &[function, _, arguments, ..] = given
            && let Node::Global(_, name) = self.arena.get(function)
            && *name != "_rebuild_from_type_v2"
        {
            return self.call(function, arguments);
        }
        Ok(self.arena.add(Node::Opaque))
    }

    fn tensor(&self, given: &[Id], has_type: bool) -> Result<Tensor<'a>, String> {
        let wrong = || "a tensor is described in a way that is not known".to_owned();
        let &[storage, offset, shape, strides, ..] = given else { return Err(wrong()) };
        let Node::Storage(storage) = self.arena.get(storage) else { return Err(wrong()) };
        let dtype = match (has_type, given.get(6).map(|&dtype| self.arena.get(dtype))) {
            (true, Some(Node::Global("torch", name))) => Some(*name),
            (true, _) => return Err(wrong()),
            (false, _) => None,
        };
        let offset = self.arena.count(offset).ok_or_else(wrong)?;
        let shape = self.arena.counts(shape).ok_or_else(wrong)?;
        let strides = self.arena.counts(strides).ok_or_else(wrong)?;
        if shape.len() != strides.len() {
            return Err(wrong());
        }
        Ok(Tensor { storage: **storage, dtype, offset, shape, strides })
    }

    /// `("storage", type, key, device, length)`, and in old files a part of one: `(key, start, length)`.
    fn persistent(&self, id: Id) -> Result<Node<'a>, String> {
        let wrong = || "a storage is described in a way that is not known".to_owned();
        let items = self.arena.items(id).ok_or_else(wrong)?;
        let &[kind, class, key, ..] = items else { return Err(wrong()) };
        if self.arena.text(kind) == Some("module") {
            return Ok(Node::Opaque); // source code that old files carry with them
        }
        let &Node::Global(_, class) = self.arena.get(class) else { return Err(wrong()) };
        let key = self.arena.text(key).ok_or_else(wrong)?;
        let view = items.get(5).and_then(|&view| self.arena.items(view));
        let start = match view {
            Some(&[_, start, _]) => self.arena.count(start).ok_or_else(wrong)?,
            _ => 0,
        };
        Ok(Node::Storage(Box::new(Storage { kind: class, key, start })))
    }

    /// Counts what is done: a short pickle could have a long list copied again and again.
    fn work(&mut self, n: usize) -> Result<(), String> {
        self.arena.work = self.arena.work.saturating_add(n);
        match self.arena.work <= LONGEST {
            true => Ok(()),
            false => Err(format!("the pickle takes more than {LONGEST} steps")),
        }
    }

    fn push(&mut self, node: Node<'a>) {
        let id = self.arena.add(node);
        self.stack.push(id);
    }

    /// What lies on the stack below this belongs to an outer mark.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn pop(&mut self) -> Result<Id, String> {
        match self.stack.len() > self.floor() {
            true => self.stack.pop().ok_or_else(empty),
            false => Err(empty()),
        }
    }

    fn top(&self) -> Result<Id, String> {
        self.stack.last().copied().ok_or_else(empty)
    }

    /// What was put on the stack since the last mark.
    fn marked(&mut self) -> Result<Vec<Id>, String> {
        let mark = self.marks.pop().filter(|&mark| mark <= self.stack.len());
        Ok(self.stack.split_off(mark.ok_or_else(empty)?))
    }

    fn byte(&mut self) -> Result<u8, String> {
        Ok(self.bytes(1)?[0])
    }

    fn bytes(&mut self, n: usize) -> Result<&'a [u8], String> {
        let (bytes, rest) = self.rest.split_at_checked(n).ok_or("the pickle ends too soon")?;
        self.rest = rest;
        Ok(bytes)
    }

    fn line(&mut self) -> Result<&'a str, String> {
        let end = self.rest.iter().position(|&byte| byte == b'\n').ok_or("the pickle ends too soon")?;
        let line = self.bytes(end)?;
        self.bytes(1)?;
        std::str::from_utf8(line).map_err(|error| format!("a name in it: {error}"))
    }

    /// A number of up to seven bytes, or eight that are not negative.
    fn little(&mut self, n: usize) -> Result<i64, String> {
        let mut number = [0; 8];
        number[..n].copy_from_slice(self.bytes(n)?);
        Ok(i64::from_le_bytes(number))
    }

    fn length(&mut self, n: usize) -> Result<usize, String> {
        usize::try_from(self.little(n)?).map_err(|_| "the pickle ends too soon".to_owned())
    }
}

fn empty() -> String {
    "the pickle takes a value that it did not make".to_owned()
}

fn pairs(items: &[Id]) -> Vec<(Id, Id)> {
    items.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect()
}

/// A number of any length, little-endian in two's complement; those that do not fit are as good as the largest.
fn long(bytes: &[u8]) -> i64 {
    let negative = bytes.last().is_some_and(|&byte| byte >= 0x80);
    if bytes.len() > 8 {
        return if negative { i64::MIN } else { i64::MAX };
    }
    let mut number = [if negative { 0xff } else { 0 }; 8];
    number[..bytes.len()].copy_from_slice(bytes);
    i64::from_le_bytes(number)
}
