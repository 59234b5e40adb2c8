//! What open types stand for.

use std::sync::Arc;

use crate::types::Type;

/// What each open type stands for, as far as it is known.
#[derive(Debug, Default, Clone)]
pub(super) struct Mapping {
    known: Vec<Option<Type>>,
}

impl Mapping {
    /// A new open type.
    pub fn fresh(&mut self) -> Type {
        Type::Param(self.reserve(1))
    }

    /// Numbers for that many open types; the first of them.
    pub fn reserve(&mut self, count: u32) -> u32 {
        let first = self.known.len();
        self.known.resize(first + count as usize, None);
        u32::try_from(first).unwrap_or(u32::MAX)
    }

    /// What the type is known to be at its top.
    pub fn resolved(&self, ty: &Type) -> Type {
        let mut ty = ty.clone();
        while let Type::Param(number) = ty {
            match self.known.get(number as usize) {
                Some(Some(known)) => ty = known.clone(),
                _ => return ty,
            }
        }
        ty
    }

    /// The type with everything that stayed open as dyn.
    pub fn settled(&self, ty: &Type) -> Type {
        match self.resolved(ty) {
            Type::Param(_) => Type::Dyn,
            Type::List(item) => Type::list(self.settled(&item)),
            Type::Optional(value) => Type::optional(self.settled(&value)),
            Type::Type(of) => Type::Type(Arc::new(self.settled(&of))),
            Type::Map(key, value) => Type::Map(Arc::new(self.settled(&key)), Arc::new(self.settled(&value))),
            other => other,
        }
    }

    /// Whether values of `given` may stand where `wanted` is asked for; open types become known by it.
    pub fn assignable(&mut self, wanted: &Type, given: &Type) -> bool {
        self.assignable_all(std::slice::from_ref(wanted), &[given])
    }

    /// The same for several, all or none.
    pub fn assignable_all(&mut self, wanted: &[Type], given: &[&Type]) -> bool {
        let before = self.known.clone();
        let fits = wanted.iter().zip(given).all(|(wanted, given)| self.fits(wanted, given));
        if !fits {
            self.known = before;
        }
        fits
    }

    fn fits(&mut self, wanted: &Type, given: &Type) -> bool {
        let (wanted, given) = (self.resolved(wanted), self.resolved(given));
        match (&wanted, &given) {
            (Type::Param(a), Type::Param(b)) if a == b => true,
            (Type::Param(a), other) | (other, Type::Param(a)) => self.bind(*a, other),
            (a, b) if a.is_dyn() || b.is_dyn() => true,
            (Type::Null, b) => nullable(b),
            (a, Type::Null) => nullable(a),
            (Type::List(a), Type::List(b))
            | (Type::Optional(a), Type::Optional(b))
            | (Type::Type(a), Type::Type(b)) => self.fits(a, b),
            (Type::Map(a, b), Type::Map(c, d)) => self.fits(a, c) && self.fits(b, d),
            (a, b) => a == b,
        }
    }

    fn bind(&mut self, number: u32, ty: &Type) -> bool {
        if self.occurs(number, ty) {
            return false;
        }
        match self.known.get_mut(number as usize) {
            Some(slot) => {
                *slot = Some(ty.clone());
                true
            }
            None => false,
        }
    }

    fn occurs(&self, number: u32, ty: &Type) -> bool {
        match self.resolved(ty) {
            Type::Param(other) => other == number,
            Type::List(item) | Type::Optional(item) | Type::Type(item) => self.occurs(number, &item),
            Type::Map(key, value) => self.occurs(number, &key) || self.occurs(number, &value),
            _ => false,
        }
    }
}

/// What `null` may stand for.
fn nullable(ty: &Type) -> bool {
    matches!(
        ty,
        Type::Null | Type::Object(_) | Type::Opaque(_) | Type::Optional(_) | Type::Timestamp | Type::Duration
    )
}
