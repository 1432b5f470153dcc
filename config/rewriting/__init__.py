"""The contract of rewrite rules, and what edits trees and schemas for them."""
