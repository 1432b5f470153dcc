"""The interface of upgrade rules, and edits of trees and schemas for them."""
