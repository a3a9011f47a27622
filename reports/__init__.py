"""Tables, figures and the written report; everything here reads Record rows and renders them."""
