"""`{prefix}/sample_gadgets/{sample_gadget_id}/sample_notes/`: the notes of a gadget."""

from myapp.core import CrudResource, FeatureApi

from .models import SampleNote

PARENT = "sample_gadgets/<int:sample_gadget_id>"

notes = FeatureApi("sample_notes", "Notes of a gadget.", below=PARENT)
CrudResource.register(notes, SampleNote, one="a note")
