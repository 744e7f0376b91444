FLASK_APP=myapp
