//! What a detector's forward pass returned, and its numbers as plain slices.

use std::fmt;

use tch::{Device, Kind, TchError, Tensor};

/// The tensors of one picture in the order and under the names that the network gave them: a single tensor or the
/// members of a tuple have no name (`""`), the entries of a dictionary have their key. On the CPU, with a leading
/// dimension of 1, except in the dictionaries of torchvision, whose tensors have none.
#[derive(Debug)]
pub struct Outputs(pub Vec<(String, Tensor)>);

impl Outputs {
    /// A network with one nameless output.
    pub fn single(tensor: Tensor) -> Self {
        Outputs(vec![(String::new(), tensor)])
    }

    /// The entry called `name`; of a nested output (`0.boxes`), the last part counts.
    pub fn named(&self, name: &str) -> Option<&Tensor> {
        self.0.iter().find(|(n, _)| n.rsplit('.').next() == Some(name)).map(|(_, tensor)| tensor)
    }

    /// The `(1, rows, columns)` tensors, which is what every layout but "maps" and "torchvision" is made of. Others
    /// (feature maps that a traced training graph hands out beside its result) are left out.
    pub(crate) fn tables(&self) -> Vec<(&str, &Tensor)> {
        let is_table = |t: &Tensor| t.defined() && matches!(t.size()[..], [1, _, _]);
        self.0.iter().filter(|(_, t)| is_table(t)).map(|(name, t)| (name.as_str(), t)).collect()
    }
}

/// Lists the shapes, for messages: `pred_logits (1, 100, 92), pred_boxes (1, 100, 4)`.
impl fmt::Display for Outputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("no tensor at all");
        }
        for (i, (name, tensor)) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            if !name.is_empty() {
                write!(f, "{name} ")?;
            }
            f.write_str(&shape(tensor))?;
        }
        Ok(())
    }
}

/// `(1, 84, 8400)`.
pub(crate) fn shape(tensor: &Tensor) -> String {
    if !tensor.defined() {
        return "(undefined)".into();
    }
    let sizes: Vec<String> = tensor.size().iter().map(i64::to_string).collect();
    format!("({})", sizes.join(", "))
}

/// The numbers of a `(1, rows, columns)` or `(rows, columns)` tensor, row by row. They are read where libtorch holds
/// them: going through a whole output costs less than a single tensor operation on it.
pub(crate) struct Table {
    // Keeps the memory alive, and is contiguous f32 on the CPU.
    tensor: Tensor,
    pub rows: usize,
    pub columns: usize,
}

impl Table {
    /// `None` where the tensor has another rank or more than one picture.
    pub fn read(tensor: &Tensor) -> Result<Option<Table>, TchError> {
        if !tensor.defined() {
            return Ok(None);
        }
        let (rows, columns) = match tensor.size()[..] {
            [1, rows, columns] | [rows, columns] => (rows as usize, columns as usize),
            _ => return Ok(None),
        };
        let tensor = tensor.f_to_device(Device::Cpu)?.f_to_kind(Kind::Float)?.f_contiguous()?;
        Ok(Some(Table { tensor, rows, columns }))
    }

    pub fn values(&self) -> &[f32] {
        let length = self.rows * self.columns;
        if length == 0 {
            return &[];
        }
        // SAFETY: `read` made the tensor contiguous f32 in main memory with exactly rows * columns elements; it lives as
        // long as the slice, and it is not `Sync`, so that nobody writes to it meanwhile.
        unsafe { std::slice::from_raw_parts(self.tensor.data_ptr().cast::<f32>(), length) }
    }

    /// One slice per row.
    pub fn iter(&self) -> impl Iterator<Item = &[f32]> + Clone {
        // An empty row would make chunks_exact panic; it has no numbers to give either.
        self.values().chunks_exact(self.columns.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read_whatever_its_strides_and_kind() {
        let tensor = Tensor::from_slice(&[1i64, 2, 3, 4, 5, 6]).view([2, 3]).transpose(0, 1).unsqueeze(0);
        let table = Table::read(&tensor).unwrap().unwrap();
        assert_eq!((table.rows, table.columns), (3, 2));
        assert_eq!(table.values(), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
        assert_eq!(table.iter().map(|row| row[1]).collect::<Vec<_>>(), [4.0, 5.0, 6.0]);
    }

    #[test]
    fn nothing_and_other_ranks_are_no_table() {
        let empty = Table::read(&Tensor::zeros([1, 0, 6], (Kind::Float, Device::Cpu))).unwrap().unwrap();
        assert!(empty.values().is_empty() && empty.iter().next().is_none());
        assert!(Table::read(&Tensor::from(1.0f32)).unwrap().is_none());
        assert!(Table::read(&Tensor::zeros([2, 3, 4], (Kind::Float, Device::Cpu))).unwrap().is_none());
        assert!(Table::read(&Tensor::new()).unwrap().is_none());
    }

    #[test]
    fn shapes_are_listed_with_their_names() {
        let outputs = Outputs(vec![
            ("boxes".into(), Tensor::zeros([1, 3, 4], (Kind::Float, Device::Cpu))),
            (String::new(), Tensor::from(1.0f32)),
        ]);
        assert_eq!(outputs.to_string(), "boxes (1, 3, 4), ()");
        assert_eq!(Outputs(Vec::new()).to_string(), "no tensor at all");
    }
}
